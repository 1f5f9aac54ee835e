"""Data sets: from folders of motion and captions to one array of features with an index."""
