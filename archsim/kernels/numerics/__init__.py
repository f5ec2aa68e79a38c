"""Products, activations and cell updates in float32 with one fixed order, and binary16."""
