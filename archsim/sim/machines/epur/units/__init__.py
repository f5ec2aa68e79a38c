"""The units of the machine that works neuron by neuron, as SimPy processes."""
