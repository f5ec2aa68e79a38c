"""What doubtful constants may plausibly be: TOML tables."""
