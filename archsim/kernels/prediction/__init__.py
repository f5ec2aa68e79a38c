"""Predictors and reuse decisions: bit planes, the reuse rule, and the step loops that apply them."""
