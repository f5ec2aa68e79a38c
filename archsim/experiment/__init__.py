"""One run from names to figures: the functional pass, the event simulation, the record."""
