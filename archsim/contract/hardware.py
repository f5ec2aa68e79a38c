"""Checks of hardware: both levels of detail agree, and area, energy and memo are declared and charged."""

from __future__ import annotations

from collections import Counter, defaultdict

from archsim.config.arch import ArchSpec
from archsim.config.memo_unit import FmuSpec
from archsim.contract.subjects import BrokenPromiseError, Subject
from archsim.contract.watched import WatchedPolicy
from archsim.energy.parts import area_mm2, parts_of
from archsim.experiment.result import Result
from archsim.policies import declaration, saves_work
from archsim.sim.machines import MACHINES

PRODUCT_BYTES = 2
"""Bytes of the memoized product, binary16, which every memo entry holds."""
NO_UNIT = "saves nothing, so it needs no hardware"
COMPARED = ("cycles", "energy_j", "area_mm2", "dram_bytes", "baseline_cycles", "baseline_energy_j")
"""Keys of a record that both levels of detail must agree in."""


def check_details(subject: Subject) -> None:
    """Check that both levels of detail give the same time, energy, area and traffic."""
    block, neuron = subject.result.record, subject.simulate("neuron").record
    for key in COMPARED:
        if block[key] != neuron[key]:
            raise BrokenPromiseError(f"{key}: {block[key]} in detail block, {neuron[key]} in detail neuron")


def check_area(subject: Subject) -> str | None:
    """Check that the parts of its hardware take area."""
    if not saves_work(subject.policy):
        return NO_UNIT
    result = subject.result
    arch, areas = result.simulated.arch, result.simulated.areas_mm2
    if arch.fmu is None:
        parts = _own_parts(subject, arch)
        _check_areas(parts, areas)
        return f"charged for {', '.join(parts)}"
    parts = sorted(arch.fmu.predictor.parts(arch.fmu))
    if not parts:
        raise BrokenPromiseError("its predictor declares no parts, so that it takes no area: need at least one")
    _check_areas(parts, areas)
    baseline = sum(area_mm2(result.baseline.simulated.arch, result.technology).values())
    if not result.record["area_mm2"] > baseline:
        raise BrokenPromiseError(f"the machine takes {result.record['area_mm2']} mm², the one without it {baseline}")
    units = arch.computation_units
    for component, number in arch.fmu.predictor.parts(arch.fmu).items():
        if parts_of(arch)[component] < number * units:
            raise BrokenPromiseError(f"declares {number} of {component} per unit, charged are {parts_of(arch)}")
    return _whose(subject, f"charged for {', '.join(parts)}")


def _check_areas(parts: list[str], areas: dict[str, float]) -> None:
    for component in parts:
        if not areas.get(component, 0) > 0:
            raise BrokenPromiseError(f"{component} takes no area: give it one in the tables of the predictor")


def check_energy(subject: Subject) -> str | None:
    """Check that each prediction costs energy, as often as it is made."""
    if not saves_work(subject.policy):
        return NO_UNIT
    result = subject.result
    fmu = result.simulated.arch.fmu
    if fmu is None:
        return _own_energy(subject, result)
    expected = _declared_actions(result, fmu)
    if not expected:
        raise BrokenPromiseError("its predictor declares no actions, so that predictions are free: need at least one")
    joules: defaultdict[tuple[str, str], float] = defaultdict(float)
    for row in result.simulated.energy:
        joules[row.component, row.action] += row.joules
    for key, number in expected.items():
        counted = result.simulated.count(*key)
        if counted < number:
            raise BrokenPromiseError(f"declares {number} times {'.'.join(key)} in this run, charged are {counted}")
        if not joules[key] > 0:
            raise BrokenPromiseError(f"{'.'.join(key)} costs no energy: give it some in the tables of the predictor")
    return _whose(subject, f"charged for {', '.join(sorted('.'.join(key) for key in expected))}")


def _declared_actions(result: Result, fmu: FmuSpec) -> Counter[tuple[str, str]]:
    """Return how often a run takes each action that the predictor declares, by component and action."""
    expected = Counter[tuple[str, str]]()
    for shape in result.activity.shapes:
        steps = sum(result.activity.steps(shape))
        for component, action, number in fmu.predictor.actions(fmu, shape.n_inputs):
            expected[component, action] += number * steps * shape.neurons_per_step
        for component, action, number in fmu.predictor.input_actions(fmu, shape.n_inputs):
            expected[component, action] += number * steps * shape.n_gates
        for component, action, number in fmu.predictor.pass_actions(fmu, shape.n_inputs):
            expected[component, action] += number * result.activity.n_sequences * shape.n_gates
    return +expected


def _own_energy(subject: Subject, result: Result) -> str:
    own = _own_parts(subject, result.simulated.arch)
    charged = {row.component for row in result.simulated.energy if row.joules > 0}
    if missing := [part for part in own if part not in charged]:
        name = declaration(subject.policy).machine_name
        raise BrokenPromiseError(f"machine {name}: {', '.join(missing)} costs no energy")
    return f"charged for {', '.join(own)}"


def _own_parts(subject: Subject, arch: ArchSpec) -> list[str]:
    """Return the components of the policy's machine that no other machine has, as far as `arch` has them."""
    machine = MACHINES.get(declaration(subject.policy).machine_name)
    return sorted(machine.own_components & set(machine.parts(arch)))


def check_memo(subject: Subject) -> str | None:
    """Check that the memo holds the product and what predictions are compared by, and that corrections are charged."""
    if not subject.policy.uses_memo_unit:
        return "keeps no memo"
    fmu = subject.result.simulated.arch.fmu
    assert fmu is not None, "a policy that uses the memoization unit runs on a machine that has one"
    n_inputs = max(layer.joint_size for layer in subject.network.layers)
    declared = declaration(subject.policy).predictor.memo_entry_bytes(n_inputs)
    if declared < PRODUCT_BYTES:
        raise BrokenPromiseError(f"declares {declared} bytes of a memo entry, need {PRODUCT_BYTES} for the product")
    if fmu.memo_entry_bytes < declared:
        raise BrokenPromiseError(f"declares {declared} bytes of a memo entry, charged are {fmu.memo_entry_bytes}")
    watched = WatchedPolicy(subject.policy)
    subject.decisions(watched)
    if watched.corrects and not declaration(subject.policy).predictor.corrects:
        raise BrokenPromiseError("corrects products, but its predictor declares corrects = False, so that it is free")
    return _whose(subject, f"{declared} bytes per entry")


def _whose(subject: Subject, words: str) -> str:
    """Return a remark, which says so if the policy has declared no hardware of its own."""
    return words if hasattr(subject.policy, "predictor") else f"{words}: declares no predictor, so that of bnn"
