"""Sweeps: a grid of choices, points that share work, a pool of workers, results that survive an interrupt."""
