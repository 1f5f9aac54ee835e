"""What the animator sees. Panels draw what is known and compute nothing."""
