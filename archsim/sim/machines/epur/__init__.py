"""The E-PUR-like machine: a computation unit per gate, with or without a memoization unit."""
