"""What Blender and the backend say to each other: newline-delimited JSON-RPC 2.0, defined once for both sides.

`messages` holds the methods and their parameters and replies, `errors` what can go wrong and the remedy, `wire` their JSON.
Only numpy and the standard library are used here.
"""
