"""Command line, the only part of archsim that prints or exits."""
