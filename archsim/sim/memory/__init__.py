"""Memories of the machine, as resources that units and transfers contend for."""
