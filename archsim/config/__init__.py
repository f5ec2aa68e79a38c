"""The machine and its technology as frozen records: every value with its unit, source and certainty."""
