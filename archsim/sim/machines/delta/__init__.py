"""The column-skipping machine: a delta unit per computation unit."""
