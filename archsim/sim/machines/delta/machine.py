"""The column-skipping machine: a delta unit in front of each dot product unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.ir.network import Network
from archsim.policies import Policy, declaration
from archsim.sim.items import PassSegment, PredictorBytes, WeightVectors
from archsim.sim.machines.delta.capacity import check_fit
from archsim.sim.machines.delta.costs import DELTA_PARTS, THRESHOLD_BUFFER, parts_of_unit, threshold_bytes
from archsim.sim.machines.delta.neuron_level import DeltaNeuronLevel
from archsim.sim.machines.delta.pass_level import DeltaPassLevel
from archsim.sim.machines.delta.units.delta_unit import DELTA_UNIT
from archsim.sim.machines.machine import Machine, missing_unit
from archsim.sim.units.unit import DPU


class Delta(Machine):
    """Machine whose delta units decide which columns of weights enter the products of a step."""

    name = "delta"
    decision_kind = "columns"
    requirement = "need an architecture with [delta] and without [fmu]"
    saving = "columns skipped"
    unit_labels = (DELTA_UNIT, DPU)
    own_fields = frozenset({"delta"})
    own_components = frozenset({*DELTA_PARTS, THRESHOLD_BUFFER})
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
        """Return `arch` as this machine, with thresholds if `policy` needs them; ConfigError without delta units."""
        if arch.delta is None:
            raise missing_unit(arch, "delta", policy)
        thresholds = max(arch.delta.thresholds, int(declaration(policy).threshold_per_input))
        delta = arch.delta.model_copy(update={"thresholds": thresholds})
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
        """Return the bytes per computation unit of a segment's thresholds."""
        return PredictorBytes(constants=threshold_bytes(arch, segment.shape.n_inputs))


DELTA = Delta()
