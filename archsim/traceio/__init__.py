"""Traces: the inputs of networks, in memory and in files."""
