"""Speed of the event simulation in both details."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import archsim
from archsim.activity import ActivityRecord
from archsim.config.arch import ArchSpec
from archsim.config.technology import load_technology
from archsim.experiment.simulated_run import simulate_and_cost
from archsim.inference.run import run_inference
from archsim.ir.network import Network
from archsim.policies import policy_from
from archsim.sim.machines import Detail
from benching.figures import Figure, best_s
from benching.target import THETA, target

MIN_CYCLES, MIN_NEURONS = 100e6, 100e3
"""Targets per second."""
NEURON_STEPS = 25


def events() -> Iterator[Figure]:
    """Yield simulated cycles and neurons per second, with all listeners of a run."""
    layer, arch = target(32), archsim.load_arch("epur")
    activity = run_inference(layer.network, layer.trace, policy_from("bnn"), THETA, precision="fp32").activity
    streaming = arch.replace("weight_buffer.capacity_bytes", 1 << 18)
    machines = {"epur": arch, "epur-shared": archsim.load_arch("epur-shared"), "epur, weights streamed": streaming}
    for name, machine in machines.items():
        rate = _cycles(layer.network, activity, machine, "block") / _seconds(layer.network, activity, machine, "block")
        yield Figure("block", f"simulated cycles, {name}", rate / 1e6, "M/s", MIN_CYCLES / 1e6, at_least=True)
    few = _first_steps(activity)
    plain = ActivityRecord.without_reuse(few.shapes, {shape.pass_key: few.steps(shape) for shape in few.shapes})
    for name, record, machine in (("epur", few, arch), ("epur, baseline", plain, arch.without_memo())):
        rate = record.neurons_total / _seconds(layer.network, record, machine, "neuron")
        yield Figure("neuron", f"neurons, {name}", rate / 1e3, "k/s", MIN_NEURONS / 1e3, at_least=True)


def _first_steps(activity: ActivityRecord) -> ActivityRecord:
    """Return the first steps of the first sequence."""
    return ActivityRecord(activity.shapes, {key: [bits[0][:NEURON_STEPS]] for key, bits in activity.bits.items()})


def _seconds(network: Network, activity: ActivityRecord, machine: ArchSpec, detail: Detail) -> float:
    technology = load_technology(machine.technology)
    return best_s(partial(simulate_and_cost, network, activity, machine, technology, detail, lambda done: None))


def _cycles(network: Network, activity: ActivityRecord, machine: ArchSpec, detail: Detail) -> int:
    technology = load_technology(machine.technology)
    return simulate_and_cost(network, activity, machine, technology, detail, lambda done: None).run.cycles
