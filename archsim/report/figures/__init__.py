"""Figures of a report, one per module; each is drawn from a study."""
