"""One run from names to figures: inference run, event simulation, record."""
