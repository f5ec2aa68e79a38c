"""The face of a machine: everything that simulation, energy and experiments ask of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

from archsim.activity import ActivityRecord, DecisionKind, PassShape
from archsim.config.arch import ArchSpec
from archsim.config.components import Action, ComponentTables
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.errors import ConfigError
from archsim.ir.cells import Cell
from archsim.ir.network import Network
from archsim.policies import Policy
from archsim.sim.actions import weight_fill
from archsim.sim.items import PassSegment, PassWork, PredictorBytes, WeightVectors
from archsim.sim.memory.dram import MainMemory
from archsim.sim.memory.intermediate_port import IntermediatePort
from archsim.sim.units.unit import MAC, ProcessGenerator

Detail = Literal["block", "neuron"]
"""Level of detail: one event per pass, or every unit a process. Both give the same times, counts and energy."""


class Connections(NamedTuple):
    """Everything that a compute side is connected to."""

    env: Engine
    arch: ArchSpec
    cells: Sequence[Cell]
    """Cell of each layer."""
    dram: MainMemory
    port: IntermediatePort
    probe: Probe


class Compute(ABC):
    """Compute side of a machine, at either level of detail, with its connections as attributes."""

    def __init__(self, connections: Connections) -> None:
        self.env = connections.env
        self.arch = connections.arch
        self.cells = connections.cells
        self.dram = connections.dram
        self.port = connections.port
        self.probe = connections.probe

    @abstractmethod
    def run_pass(self, work: PassWork, *, fills: bool) -> ProcessGenerator:
        """Run a pass, or half of one, whose inputs are on chip; return S_{t+1} of each step in cycles from now.

        fills: whether weights of other passes may arrive meanwhile.
        """


class Machine(ABC):
    """Accelerator by name, without state of its own: an ArchSpec configures it, and every method takes that."""

    name: ClassVar[str]
    """Name by which a policy asks for the machine."""
    decision_kind: ClassVar[DecisionKind]
    """Meaning of a bit in the activity records that it replays."""
    requirement: ClassVar[str]
    """Error text for an activity record that only this machine can replay."""
    saving: ClassVar[str]
    """Name of the share of work saved, in a timeline."""
    unit_labels: ClassVar[tuple[str, ...]]
    """Labels of the units in a computation unit, in the order of the data."""
    compute: ClassVar[Mapping[Detail, type[Compute]]]
    """Compute side at each level of detail."""
    mac_action: ClassVar[tuple[str, str]] = MAC
    """Component and action of a multiply-accumulate of the network."""
    multipliers: ClassVar[tuple[tuple[str, str], ...]] = (MAC,)
    """All components and actions that cost a multiply-accumulate."""
    few_bits: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Components and actions of weights of few bits, whose energy is less certain than others'."""
    own_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields of ArchSpec that are left out of the digests of other machines' runs."""
    own_components: ClassVar[frozenset[str]] = frozenset()
    """Components whose energy and area are left out of the same digests."""

    @abstractmethod
    def is_described_by(self, arch: ArchSpec) -> bool:
        """Return whether `arch` has the unit that only this machine has, without one that takes precedence over it.

        It must be true of at most one machine. An `arch` that no machine claims is E-PUR's baseline.
        """

    @abstractmethod
    def spec(self, arch: ArchSpec) -> ArchSpec:
        """Return `arch` as this machine, without the units of other machines."""

    @abstractmethod
    def spec_for(self, arch: ArchSpec, policy: Policy, n_inputs: int) -> ArchSpec:
        """Return `arch` as this machine with what `policy` needs of it, for at most `n_inputs` inputs per neuron.

        Raises ConfigError where `arch` lacks a unit that the policy needs.
        """

    def baseline(self, arch: ArchSpec) -> ArchSpec:
        """Return `arch` as the machine without reuse or skipping that a run on this machine is compared with."""
        return arch.without_memo()

    @abstractmethod
    def check_fit(self, network: Network, shapes: Sequence[PassShape], arch: ArchSpec) -> None:
        """Raise DoesNotFitError for what outgrows a unit or buffer, ConfigError for an `arch` that cannot run."""

    @abstractmethod
    def parts(self, arch: ArchSpec) -> Mapping[str, int]:
        """Return the number of instances of each component in a computation unit."""

    def weight_vectors(self, segment: PassSegment) -> WeightVectors:
        """Return the order of a segment's weights in memory, and what streams as one piece: rows, one per neuron."""
        return WeightVectors(segment.shape.n_units, segment.row_bytes)

    def predictor_bytes(self, arch: ArchSpec, segment: PassSegment) -> PredictorBytes:
        """Return the bytes per computation unit that predictors read of a segment's rows."""
        return PredictorBytes()

    def fill_actions(self, arch: ArchSpec, n_bytes: int, extra_bits: int) -> Iterator[Action]:
        """Yield the actions of filling a weight buffer with `n_bytes` and a sign bank with `extra_bits`."""
        return weight_fill(arch, n_bytes)

    def tables(self, arch: ArchSpec) -> ComponentTables:
        """Return energy and area of components that technologies may not know."""
        return ComponentTables()

    def check_record(self, activity: ActivityRecord, arch: ArchSpec) -> None:  # noqa: B027, most have nothing to check
        """Raise ConfigError for decisions that `arch` has no unit to make."""


def missing_unit(arch: ArchSpec, field: str, policy: Policy) -> ConfigError:
    """Return the error for a policy whose unit, a field of ArchSpec, `arch` does not have."""
    return ConfigError(f"{arch.name} has no {field}, which policy {policy.name!r} needs: use policy none")
