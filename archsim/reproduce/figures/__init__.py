"""One module a figure: a tidy frame in, a matplotlib figure out; what it shows is in its CAPTION."""
