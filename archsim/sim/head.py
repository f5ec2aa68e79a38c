"""The network's head on the same machine: embedding rows, attention, output layers. Nothing of it is memoized.

It is simulated by itself, so that its time and energy stand beside those of the recurrent layers and not
among them. The weight buffers belong to the recurrent layers: a head's weights stream through at each use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from archsim.activity import ActivityRecord
from archsim.config.arch import ArchSpec
from archsim.config.components import Action
from archsim.engine.environment import Engine
from archsim.engine.probe import Listener, Probe
from archsim.engine.trace_events import Busy
from archsim.ir.heads import AttentionDecoder, CtcHead, MeanClassifier
from archsim.ir.network import Network
from archsim.sim.actions import INPUT_BUFFER, INTERMEDIATE_MEMORY, emit_actions, evaluation, weight_fill
from archsim.sim.items import RunLength
from archsim.sim.memory.dram import FillPorts, MainMemory, Requester
from archsim.sim.units.unit import MAC, ProcessGenerator
from archsim.units import ceil_div


@dataclass(frozen=True)
class DenseWork:
    """Product of one matrix (rows, inputs) with `n_vectors` vectors, or a fetch alone."""

    what: str
    rows: int = 0
    inputs: int = 0
    n_vectors: int = 1
    fetched: int = 0
    """Numbers that come from main memory; a matrix of which nothing is fetched lies in intermediate memory."""
    exponentials: int = 0
    adds: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.rows * self.inputs * self.n_vectors


def head_work(network: Network, activity: ActivityRecord, sequence: int) -> Iterator[DenseWork]:
    """Yield the head's work for one sequence, in order."""
    last = activity.shapes[-1]
    steps, width = activity.pass_bits(sequence, *last.pass_key).shape[0], network.layers[-1].output_size
    match network.head:
        case MeanClassifier() as head:
            classes = head.bias.size
            yield DenseWork("classify", classes, width, fetched=classes * width, adds=steps * width)
        case CtcHead() as head:
            labels = head.bias.size
            yield DenseWork("label", labels, width, steps, fetched=labels * width)
        case AttentionDecoder() as head:
            source = activity.pass_bits(sequence, *activity.shapes[0].pass_key).shape[0]
            for _ in range(steps):
                yield from _decoder_step(head, source)


def _decoder_step(head: AttentionDecoder, source: int) -> Iterator[DenseWork]:
    encoder, decoder = head.attention.shape
    embedding, joint = head.combine_weight.shape
    tokens = head.output_bias.size
    yield DenseWork("embedding", fetched=embedding)
    yield DenseWork("attention", encoder, decoder, fetched=encoder * decoder)
    yield DenseWork("scores", source, encoder, exponentials=source)
    yield DenseWork("context", encoder, source)
    yield DenseWork("combine", embedding, joint, fetched=embedding * joint, exponentials=embedding)
    yield DenseWork("output", tokens, embedding, fetched=tokens * embedding)


def simulate_head(
    network: Network, activity: ActivityRecord, arch: ArchSpec, listeners: Iterable[Listener] = ()
) -> RunLength:
    """Run the head for every sequence of an activity record on the computation units of `arch`."""
    env = Engine()
    probe = Probe(env, listeners)
    dram = MainMemory(env, arch.dram, probe, ports=FillPorts(0, 1, arch.clock_period_ps))

    def run() -> ProcessGenerator:
        for sequence in range(activity.n_sequences):
            for work in head_work(network, activity, sequence):
                yield from _serve(work, env, arch, dram, probe)

    env.run(until=env.process(run()))
    dram.close()
    return RunLength(env.now_ps, arch.clock.to_cycles(env.now_ps), env.processed_events)


def _serve(work: DenseWork, env: Engine, arch: ArchSpec, dram: MainMemory, probe: Probe) -> ProcessGenerator:
    """Run one matrix on all units, each with a share of the rows; fetched numbers arrive while products run."""
    start_ps, n_bytes = env.now_ps, arch.numbers.weight_bytes(work.fetched)
    # Fetch and products start together, because rows are used as they arrive; the slower of the two decides.
    fetch = dram.transfer(0, n_bytes, what=work.what, requester=Requester.HEAD) if n_bytes else env.timeout(0)
    yield env.timeout(arch.clock.to_ps(_cycles(work, arch)))
    yield fetch
    probe.emit(Busy, unit="head", what=work.what, start_ps=start_ps, end_ps=env.now_ps)
    if work.macs and n_bytes:
        emit_actions(probe, weight_fill(arch, n_bytes))
    emit_actions(probe, _products(work, arch))
    emit_actions(probe, iter([Action("mu", "exponential", work.exponentials), Action("mu", "add", work.adds)]))


def _cycles(work: DenseWork, arch: ArchSpec) -> int:
    """Return the cycles of all products on the units' lanes, and of the operations on their results."""
    units = arch.computation_units
    turns = ceil_div(work.rows, units) * ceil_div(work.inputs, arch.dpu.lanes) * work.n_vectors * _turns(work, arch)
    operations = ceil_div(work.exponentials + work.adds, units) * arch.mu.interval_cycles
    return (turns + arch.dpu.pipeline_cycles if turns else 0) + (
        operations + arch.mu.pipeline_cycles if operations else 0
    )


def _turns(work: DenseWork, arch: ArchSpec) -> int:
    """Return how often a product passes a multiplier: weights once, values of the network in pieces as wide as weights.

    A matrix of which nothing is fetched holds values, whose 8 bits are more than a lane of int4 takes at a time.
    """
    return 1 if work.fetched else ceil_div(arch.numbers.input_bits, arch.numbers.weight_bits)


def _products(work: DenseWork, arch: ArchSpec) -> Iterator[Action]:
    """Yield the actions of the products: vectors come through the input buffers, a matrix from its memory."""
    if not work.macs:
        return
    port, vector_bytes = arch.intermediate_memory.port_bytes, arch.numbers.input_bytes(work.inputs)
    words = ceil_div(vector_bytes, arch.input_buffer.port_bytes)
    yield Action(INTERMEDIATE_MEMORY, "read", ceil_div(vector_bytes, port) * work.n_vectors)
    yield Action(INPUT_BUFFER, "write", words * arch.computation_units * work.n_vectors)
    if work.fetched:
        for action in evaluation(arch, work.inputs):
            yield action._replace(number=action.number * work.rows * work.n_vectors)
    else:
        yield Action(INTERMEDIATE_MEMORY, "read", ceil_div(work.rows * vector_bytes, port) * work.n_vectors)
        yield Action(INPUT_BUFFER, "read", words * work.rows * work.n_vectors)
        yield Action(*MAC, work.macs * _turns(work, arch))
