"""Measurements of scripts/bench.py, one module per question."""
