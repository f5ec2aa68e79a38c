"""Listeners that keep score: actions, busy time, step times."""
