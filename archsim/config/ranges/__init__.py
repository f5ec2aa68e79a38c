"""TOML tables of plausible ranges of uncertain constants."""
