"""The column-skipping machine: a delta unit in front of each dot product unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.config.components import Action
from archsim.config.delta_unit import MAX_TAIL_BITS
from archsim.errors import ConfigError
from archsim.ir.network import Network
from archsim.policies import Declaration, Policy, declaration
from archsim.sim.actions import weight_fill
from archsim.sim.items import PassSegment, PredictorBytes, WeightVectors
from archsim.sim.machines.delta.capacity import check_fit
from archsim.sim.machines.delta.costs import (
    DELTA_PARTS,
    THRESHOLD_BUFFER,
    delta_of,
    parts_of_unit,
    threshold_bytes,
)
from archsim.sim.machines.delta.neuron_level import DeltaNeuronLevel
from archsim.sim.machines.delta.pass_level import DeltaPassLevel
from archsim.sim.machines.delta.tail import TAIL_PARTS, factor_bytes, tail_bytes, tail_fill
from archsim.sim.machines.delta.units.delta_unit import DELTA_UNIT
from archsim.sim.machines.delta.units.tail_unit import TAIL_UNIT
from archsim.sim.machines.machine import Machine, missing_unit
from archsim.sim.units.unit import DPU, MAC
from archsim.validation import whole_number


class Delta(Machine):
    """Machine whose delta units decide which columns of weights enter the products of a step."""

    name = "delta"
    decision_kind = "columns"
    requirement = "need an architecture with [delta] and without [fmu]"
    saving = "columns skipped"
    multipliers = (MAC, ("tail_scaler", "mac"))
    few_bits = (("tail_bank", "read"), ("tail_multiplier", "bit_product"), ("tail_adder", "add"))
    unit_labels = (DELTA_UNIT, TAIL_UNIT, DPU)
    own_fields = frozenset({"delta"})
    own_components = frozenset({*DELTA_PARTS, THRESHOLD_BUFFER, *TAIL_PARTS})
    compute = {"block": DeltaPassLevel, "neuron": DeltaNeuronLevel}  # noqa: RUF012

    def is_described_by(self, arch: ArchSpec) -> bool:
        """Return whether there are delta units and no memoization units."""
        return arch.delta is not None and arch.fmu is None

    def spec(self, arch: ArchSpec) -> ArchSpec:
        """Return `arch` with delta units instead of memoization units.

        Dispatch is `gate`, because all gates skip the same columns, so no unit is idle.
        """
        return arch.model_copy(update={"fmu": None, "dispatch": "gate"})

    def spec_for(self, arch: ArchSpec, policy: Policy, n_inputs: int) -> ArchSpec:
        """Return `arch` as this machine, with thresholds and a tail if `policy` needs them.

        Raises ConfigError without delta units, or for a tail of more bits than they may have.
        """
        if arch.delta is None:
            raise missing_unit(arch, "delta", policy)
        declared = declaration(policy)
        needs = {"thresholds": int(declared.threshold_per_input), "tail_bits": _tail_bits(policy, declared)}
        delta = arch.delta.model_copy(update={name: max(getattr(arch.delta, name), n) for name, n in needs.items()})
        return self.spec(arch).model_copy(update={"delta": delta})

    def check_fit(self, network: Network, shapes: Sequence[PassShape], arch: ArchSpec) -> None:
        """Raise DoesNotFitError for what outgrows a buffer, ConfigError for an `arch` that cannot skip columns."""
        check_fit(self, network, shapes, arch)

    def parts(self, arch: ArchSpec) -> Mapping[str, int]:
        """Return the number of instances of each component in a computation unit."""
        return parts_of_unit(arch)

    def weight_vectors(self, segment: PassSegment) -> WeightVectors:
        """Return columns, one per element of [x; h]."""
        return WeightVectors(segment.columns, segment.column_bytes)

    def predictor_bytes(self, arch: ArchSpec, segment: PassSegment) -> PredictorBytes:
        """Return the bytes per computation unit of a segment's thresholds, and of its tail's weights and factors."""
        constants = threshold_bytes(arch, segment.shape.n_inputs) + factor_bytes(arch, segment.shape.n_units)
        return PredictorBytes(tail=tail_bytes(arch, segment), constants=constants)

    def fill_actions(self, arch: ArchSpec, n_bytes: int, extra_bits: int) -> Iterator[Action]:
        """Yield the actions of filling a weight buffer with `n_bytes` and a tail bank with `extra_bits`."""
        yield from weight_fill(arch, n_bytes)
        yield from tail_fill(delta_of(arch), extra_bits)


def _tail_bits(policy: Policy, declared: Declaration) -> int:
    """Return the bits of a policy's tail; raise ConfigError for a number of bits that no tail unit has."""
    bits = whole_number(declared.tail_bits)
    if bits is None or not 0 <= bits <= MAX_TAIL_BITS:
        found = f"policy {policy.name!r}: tail_bits = {declared.tail_bits!r}"
        raise ConfigError(f"{found}: need a whole number from 0 to {MAX_TAIL_BITS}")
    return bits


DELTA = Delta()
