"""Technology tables: energy, leakage and area with their sources."""
