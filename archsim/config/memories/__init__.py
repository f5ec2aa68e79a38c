"""Main memory presets: TOML files that override the defaults."""
