"""The units of the column-skipping machine, as SimPy processes."""
