"""Which predictor, which θ and how wide a memoization unit: a search over sweeps, its Pareto front, and one advice."""
