"""Dot product units that share their work (`dispatch = "shared"`): an option that the rest can be read without."""
