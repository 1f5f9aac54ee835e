"""Characters: which bones are the joints of the SMPL skeleton, and how poses are read from them and clips written to them."""
