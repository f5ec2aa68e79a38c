"""A run from the first event to the last: the memories that all machines share, wired to one machine's compute side."""

from __future__ import annotations

from collections.abc import Iterable

from archsim.activity import ActivityRecord
from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.probe import Listener, Probe
from archsim.ir.network import Network
from archsim.sim.items import RunLength, WeightGroup, weight_groups
from archsim.sim.machines import Detail, machine_for
from archsim.sim.machines.machine import Connections
from archsim.sim.memory.dram import FillPorts, MainMemory
from archsim.sim.memory.intermediate_memory import IntermediateMemory, layer_traffic
from archsim.sim.memory.intermediate_port import IntermediatePort
from archsim.sim.memory.weight_buffers import WeightBuffers
from archsim.sim.sequencer import Sequencer


def simulate_activity(
    network: Network,
    activity: ActivityRecord,
    arch: ArchSpec,
    *,
    detail: Detail = "block",
    listeners: Iterable[Listener] = (),
) -> RunLength:
    """Replay an activity record on the machine that `arch` describes (SEMANTICS 2).

    Raises DoesNotFitError where a layer outgrows a buffer, ConfigError for decisions that the machine cannot make.
    Listeners change no time.
    """
    machine = machine_for(activity, arch)
    machine.check_fit(network, activity.shapes, arch)
    env = Engine()
    probe = Probe(env, listeners)
    cells = [layer.cell for layer in network.layers]
    groups = weight_groups(activity.shapes, arch)
    ports = FillPorts(arch.computation_units, arch.weight_buffer.port_bytes, arch.clock_period_ps)
    dram = MainMemory(env, arch.dram, probe, ports=ports, n_transfers=_most_transfers(arch, groups))
    weights = WeightBuffers(env, machine, arch, groups, dram=dram, probe=probe)
    port = IntermediatePort(env, arch)
    sequences = IntermediateMemory(
        env,
        arch,
        layer_traffic(network, activity, arch),
        dram=dram,
        port=port,
        base_address_bytes=weights.end_address,
        probe=probe,
    )
    sequencer = Sequencer(
        env,
        activity,
        groups=groups,
        compute=machine.compute[detail](Connections(env, arch, cells, dram, port, probe)),
        saving=machine.saving,
        weights=weights,
        sequences=sequences,
        clock_period_ps=arch.clock_period_ps,
        probe=probe,
    )
    env.run(until=sequencer.done)
    dram.close()
    return RunLength(env.now_ps, arch.clock.to_cycles(env.now_ps), env.processed_events)


def _most_transfers(arch: ArchSpec, groups: list[WeightGroup]) -> int:
    """Return the most transfers in flight: rows of all units, weights and spills of a group, inputs and outputs."""
    return arch.computation_units * arch.weight_buffer.stream_rows + 2 * max(map(len, groups)) + 2
