"""Search for the predictor, its θ and the width of the memoization unit: sweeps, Pareto front, recommendation."""
