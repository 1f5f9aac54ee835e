"""The commands of `motiongpt`, a module each with `add_parser(subparsers)` and `run(args)`.

What is heavy (torch, transformers) is imported inside `run`, so that every command starts fast and `--help` needs nothing.
"""

COMMANDS = ("generate", "doctor", "serve", "base", "data", "train", "bundle", "evaluate")
