"""What the animator can do. Operators read the context, call one function and report; they hold no logic."""
