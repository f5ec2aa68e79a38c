"""Advice on a network and its data: whether reuse pays, by which policy, at what loss, and what holds it back."""
