"""What is not recurrent on the same machine: embedding rows, attention, output layers. Nothing of it is memoized.

It is simulated by itself, so that its time and energy stand beside those of the recurrent layers and not
among them. The weight buffers belong to the recurrent layers: a head's weights stream through at each use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from archsim.config.specs import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.facts import Busy
from archsim.engine.probe import Listener, Probe
from archsim.ir.heads import AttentionDecoder, CtcHead, MeanClassifier
from archsim.ir.network import Network
from archsim.sim.actions import Action, emit_actions, evaluation, weight_fill
from archsim.sim.memory.dram import SimpleDram
from archsim.sim.units.wires import Process
from archsim.sim.work import Run
from archsim.traceio.activity import ActivityRecord, PassShape
from archsim.units import BYTES_PER_HALF, ceil_div


@dataclass(frozen=True)
class DenseWork:
    """A matrix times `times` vectors: `rows` dot products of `inputs` numbers each."""

    what: str
    rows: int
    inputs: int
    times: int = 1
    fetched: int = 0
    """Numbers fetched from main memory for it."""
    exponentials: int = 0
    adds: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.rows * self.inputs * self.times


def head_macs(network: Network, activity: ActivityRecord) -> int:
    """Multiply-accumulates of the head over a whole run."""
    return sum(work.macs for sequence in range(activity.n_sequences) for work in head_work(network, activity, sequence))


def head_work(network: Network, activity: ActivityRecord, sequence: int) -> Iterator[DenseWork]:
    """What the head does for one sequence, in order."""
    last = activity.shapes[-1]
    steps, width = activity.pass_bits(sequence, *last.place).shape[0], network.layers[-1].output_size
    match network.head:
        case MeanClassifier() as head:
            classes = head.bias.size
            yield DenseWork("classify", classes, width, fetched=classes * width, adds=steps * width)
        case CtcHead() as head:
            labels = head.bias.size
            yield DenseWork("label", labels, width, steps, fetched=labels * width)
        case AttentionDecoder() as head:
            source = activity.pass_bits(sequence, *activity.shapes[0].place).shape[0]
            for _ in range(steps):
                yield from _decoder_step(head, source)


def _decoder_step(head: AttentionDecoder, source: int) -> Iterator[DenseWork]:
    encoder, decoder = head.attention.shape
    embedding, joint = head.combine_weight.shape
    tokens = head.output_bias.size
    yield DenseWork("embedding", 0, 0, fetched=embedding)
    yield DenseWork("attention", encoder, decoder, fetched=encoder * decoder)
    yield DenseWork("scores", source, encoder, exponentials=source)
    yield DenseWork("context", encoder, source)
    yield DenseWork("combine", embedding, joint, fetched=embedding * joint, exponentials=embedding)
    yield DenseWork("output", tokens, embedding, fetched=tokens * embedding)


def simulate_head(
    network: Network, activity: ActivityRecord, arch: ArchSpec, listeners: Iterable[Listener] = ()
) -> Run:
    """Run the head for every sequence of an activity record on the computation units of `arch`."""
    env = Engine()
    probe = Probe(env, listeners)
    dram = SimpleDram(env, arch.dram, probe)

    def run() -> Process:
        for sequence in range(activity.n_sequences):
            for work in head_work(network, activity, sequence):
                yield from _serve(work, env, arch, dram, probe)

    env.run(until=env.process(run()))
    return Run(env.now_ps, arch.clock.to_cycles(env.now_ps), env.processed_events)


def _serve(work: DenseWork, env: Engine, arch: ArchSpec, dram: SimpleDram, probe: Probe) -> Process:
    """One matrix on all units, each a share of the rows; weights stream in while the products run."""
    start_ps, n_bytes = env.now_ps, work.fetched * BYTES_PER_HALF
    fetch = dram.transfer(0, n_bytes, what=work.what) if n_bytes else env.timeout(0)
    turns = ceil_div(work.rows, arch.computation_units) * ceil_div(work.inputs, arch.dpu.lanes)
    cycles = turns * work.times + arch.dpu.pipeline_cycles + arch.mu.pipeline_cycles
    yield env.timeout(arch.clock.to_ps(cycles))
    yield fetch
    probe.emit(Busy, unit="head", what=work.what, start_ps=start_ps, end_ps=env.now_ps)
    if n_bytes:
        emit_actions(probe, weight_fill(arch, n_bytes))
    if work.macs:
        row = PassShape(0, 0, 1, work.rows, work.inputs)
        emit_actions(probe, evaluation(arch, row), work.rows * work.times)
    emit_actions(probe, iter([Action("mu", "exponential", work.exponentials), Action("mu", "add", work.adds)]))
