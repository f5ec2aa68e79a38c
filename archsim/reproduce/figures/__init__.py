"""Figures of the paper, one module each: a tidy frame in, a matplotlib figure out; CAPTION says what it shows."""
