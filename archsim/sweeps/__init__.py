"""Many runs: a grid of choices, points that share work, a pool of workers, results that survive."""
