"""Pictures, tables and one page made of what was found; nothing is simulated here."""
