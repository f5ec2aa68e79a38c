"""Timing of a pass: when each neuron or column of each step is issued, decided, taken and finished."""
