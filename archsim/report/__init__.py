"""Figures, tables and one page of finished results; nothing is simulated here."""
