"""The E-PUR-like machine: a memoization unit in front of each dot product unit, or none on the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from archsim.activity import ActivityRecord, PassShape
from archsim.config.arch import ArchSpec
from archsim.config.components import Action, ComponentTables
from archsim.config.predictor import Predictor
from archsim.errors import ConfigError
from archsim.ir.network import Network
from archsim.policies import Policy, declaration
from archsim.sim.items import PassSegment, PredictorBytes
from archsim.sim.machines.epur.capacity import check_fit
from archsim.sim.machines.epur.costs import fill_actions, parts_of_unit, predictor_bytes
from archsim.sim.machines.epur.neuron_level import EpurNeuronLevel
from archsim.sim.machines.epur.pass_level import EpurPassLevel
from archsim.sim.machines.epur.units.fmu import FMU
from archsim.sim.machines.machine import Machine, missing_unit
from archsim.sim.units.unit import DPU, MAC


class Epur(Machine):
    """Machine whose memoization units decide, neuron by neuron, what is reused."""

    name = "epur"
    decision_kind = "neurons"
    requirement = "need an architecture with [fmu], or without [delta]"
    saving = "reuse"
    unit_labels = (FMU, DPU)
    multipliers = (MAC, ("corrector", "mac"))
    compute = {"block": EpurPassLevel, "neuron": EpurNeuronLevel}  # noqa: RUF012

    def is_described_by(self, arch: ArchSpec) -> bool:
        """Return whether there are memoization units, which take precedence over all other units."""
        return arch.fmu is not None

    def spec(self, arch: ArchSpec) -> ArchSpec:
        """Return `arch` without delta units."""
        return arch.model_copy(update={"delta": None})

    def spec_for(self, arch: ArchSpec, policy: Policy, n_inputs: int) -> ArchSpec:
        """Return `arch` with the policy's predictor in its memoization units; the baseline if it needs none."""
        if not policy.uses_memo_unit:
            return self.baseline(arch)
        if arch.fmu is None:
            raise missing_unit(arch, "fmu", policy)
        predictor = declaration(policy).predictor
        if not isinstance(predictor, Predictor):
            found = f"policy {policy.name!r}: predictor is a {type(predictor).__name__}"
            raise ConfigError(f"{found}: need an archsim.config.predictor.Predictor")
        return self.spec(arch).with_predictor(predictor, n_inputs)

    def check_fit(self, network: Network, shapes: Sequence[PassShape], arch: ArchSpec) -> None:
        """Raise DoesNotFitError for the first pass that outgrows a unit or buffer, naming the field to raise."""
        check_fit(self, network, shapes, arch)

    def parts(self, arch: ArchSpec) -> Mapping[str, int]:
        """Return the number of instances of each component in a computation unit."""
        return parts_of_unit(arch)

    def predictor_bytes(self, arch: ArchSpec, segment: PassSegment) -> PredictorBytes:
        """Return the bytes per computation unit that the predictor reads of a segment's rows."""
        return predictor_bytes(arch, segment)

    def fill_actions(self, arch: ArchSpec, n_bytes: int, extra_bits: int) -> Iterator[Action]:
        """Yield the actions of filling a weight buffer with `n_bytes` and a sign bank with `extra_bits`."""
        return fill_actions(arch, n_bytes, extra_bits)

    def tables(self, arch: ArchSpec) -> ComponentTables:
        """Return energy and area of the components that the predictor brings along."""
        return arch.fmu.predictor.tables if arch.fmu else ComponentTables()

    def check_record(self, activity: ActivityRecord, arch: ArchSpec) -> None:
        """Raise ConfigError for reuse without memoization units."""
        if arch.fmu is None and (reused := activity.neurons_reused()):
            raise ConfigError(f"{arch.name} has no fmu, but the activity record reuses {reused} neurons")


EPUR = Epur()
