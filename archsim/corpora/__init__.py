"""Readers of public corpora, and their download."""
