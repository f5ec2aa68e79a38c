"""What scripts/bench.py measures: one module for each question."""
