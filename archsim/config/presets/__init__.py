"""Architecture presets: TOML files that override the defaults."""
