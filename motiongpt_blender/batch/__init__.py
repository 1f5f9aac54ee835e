"""Many clips in one go: a table of prompts, a clip for each of its rows and each character, laid out as NLA strips."""
