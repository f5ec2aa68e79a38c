"""A thin layer over SimPy: integer picoseconds, in-order ports, and facts for whoever listens."""
