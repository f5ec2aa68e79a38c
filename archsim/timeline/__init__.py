"""Pictures of a run in time."""
