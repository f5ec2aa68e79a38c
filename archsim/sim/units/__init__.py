"""The units of the machine as SimPy processes, neuron by neuron: its readable definition (SEMANTICS 2.2)."""
