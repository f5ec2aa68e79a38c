"""Texts of plug-in files."""

POLICY = """
import numpy as np
import archsim

@archsim.register_policy
class Every:
    name, needs_threshold, uses_memo_unit = "{name}", False, True

    def __init__(self, *, period: int = {period}):
        self.period = period

    def begin(self, context):
        return self

    def decide(self, step):
        return np.full(step.shape, step.index % self.period > 0)
"""
METRIC = """
import archsim
from archsim.task_metrics.metrics import Metric

archsim.register_metric(Metric("misses", int, -1, lambda a, t: (int(a != t), 1), lambda sums: {factor} * sums[0] / sums[1]))
"""
MACHINE = """
import archsim
from archsim.sim.machines import EPUR

class Zeta(type(EPUR)):
    name = "zeta"

    def is_described_by(self, arch):
        return arch.name == "zeta" and arch.fmu is None

    def spec_for(self, arch, policy, n_inputs):
        return arch.without_memo().model_copy(update={"name": "zeta"})

archsim.register_machine(Zeta())

@archsim.register_policy
class OnZeta:
    name, needs_threshold, uses_memo_unit, machine = "on-zeta", False, False, "zeta"

    def begin(self, context):
        return self

    def decide(self, step):
        import numpy as np
        return np.zeros(step.shape, bool)
"""


def every(name="every", period=3):
    """Return a file with a policy that evaluates everything at every so many steps."""
    return POLICY.format(name=name, period=period)
