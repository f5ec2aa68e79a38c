"""Listeners that subscribe to trace events: counters, step ends, the timeline."""
