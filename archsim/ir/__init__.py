"""Networks as archsim sees them: layers with weights, encoders of their inputs, and heads."""
