"""A thin layer over SimPy: integer picoseconds, in-order ports, and trace events for listeners."""
