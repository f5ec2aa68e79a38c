"""Float32 arithmetic in one fixed order: products, activations, cell updates and gradients; rounding to binary16."""
