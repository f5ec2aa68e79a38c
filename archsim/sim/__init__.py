"""The accelerator in time: units and memories as SimPy processes replaying an activity record (SEMANTICS 2)."""
