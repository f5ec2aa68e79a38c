"""Makers of small networks, traces and machines, and SEMANTICS written out naively."""

from __future__ import annotations

import os
from concurrent.futures import Future
from contextlib import nullcontext

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import save_file

from archsim.config.arch import ArchSpec
from archsim.experiment.run_config import resolve
from archsim.experiment.simulate import simulate, simulate_inference
from archsim.experiment.stages import Stages
from archsim.ir.cells import cell_named
from archsim.ir.folder import load_network
from archsim.ir.heads import AttentionDecoder
from archsim.ir.layers import Layer, make_direction
from archsim.ir.network import Embedding, Network, Scales
from archsim.kernels.pipeline.recurrence import StepTimes
from archsim.sweeps import run as sweep_run
from archsim.sweeps.task import work
from archsim.traceio.files import write_trace
from archsim.traceio.trace import Trace

CORPORA = os.environ.get("ARCHSIM_DATA")
COLUMN_POLICIES = ["delta", "input-similarity", "delta:weighted=on", "input-similarity:weighted=on"]


def make_network(cell_name, *, inputs, units, layers=1, bidirectional=False, projection=0, seed=0):
    """Return a network of random weights in [-0.5, 0.5], with rough scales that are not measured."""
    sizes = {"inputs": inputs, "units": units, "layers": layers, "projection": projection}
    stack = make_stack(cell_name, **sizes, bidirectional=bidirectional, seed=seed)
    return Network(f"tiny-{cell_name}", stack, scales=make_scales(stack))


def make_scales(stack):
    """Return scales that roughly suit the drifting frames of `make_trace`, and means that differ by input."""
    inputs = [1.0 if index == 0 else 0.25 for index in range(len(stack))]
    means = tuple(tuple(0.05 * (i % 5 - 2) for i in range(layer.input_size)) for layer in stack)
    return Scales(tuple(inputs), tuple((0.25,) * len(layer.directions) for layer in stack), means=means)


def make_translator(*, width, units, depth=1, tokens=9, seed=0):
    """Return a random translator of tokens: LSTM encoder and decoder, start token 1, end token 2."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.uniform(-0.8, 0.8, shape).astype(np.float32)

    stacks = [make_stack("lstm", inputs=width, units=units, layers=depth, seed=seed + i) for i in (1, 2)]
    head = AttentionDecoder(
        attention=draw(units, units),
        combine_weight=draw(width, 2 * units),
        combine_bias=draw(width),
        output_bias=draw(tokens),
        start=1,
        end=2,
    )
    embedding = Embedding(draw(tokens, width))
    layers = (*stacks[0], *stacks[1])
    scales = make_scales(layers)
    return Network("tiny-translator", layers, decoder_depth=depth, embedding=embedding, head=head, scales=scales)


def make_tokens(network, lengths, seed=1):
    """Return random tokens for a network with an embedding."""
    rng, tokens = np.random.default_rng(seed), network.embedding.table.shape[0]
    return Trace.from_arrays([rng.integers(0, tokens, t) for t in lengths], name="tokens")


def make_stack(cell_name, *, inputs, units, layers=1, bidirectional=False, projection=0, seed=0):
    """Return layers of random weights in [-0.5, 0.5]."""
    rng, cell = np.random.default_rng(seed), cell_named(cell_name)
    built, width = [], inputs
    for index in range(layers):
        sides, shape = (False, True)[: 1 + bidirectional], (width, units, projection)
        directions = tuple(_direction(rng, cell, *shape, reverse) for reverse in sides)
        built.append(Layer(f"l{index}", cell, width, units, directions, projection))
        width = built[-1].output_size
    return tuple(built)


def _direction(rng, cell, inputs, units, projection, reverse):
    rows = cell.n_gates * units
    shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, projection or units)}
    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    shapes |= {"weight_hr": (projection, units)} if projection else {}
    shapes |= {"peepholes": (len(cell.peephole_gates) * units,)} if cell.peephole_gates else {}
    weights = {name: rng.uniform(-0.5, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    return make_direction("test", cell, weights, reverse=reverse)


def make_trace(network, lengths, seed=1):
    """Return slowly drifting random frames, so that there is something to reuse."""
    rng = np.random.default_rng(seed)
    steps = [rng.standard_normal((t, network.input_size)) for t in lengths]
    return Trace.from_arrays([np.cumsum(s, axis=0).astype(np.float32) * np.float32(0.3) for s in steps], name="drift")


def write_lstm_files(folder, lengths):
    """Write an LSTM of 5 units, `net/`, and a trace for it, `trace.npz`, into a folder; return the folder."""
    rng = np.random.default_rng(0)
    (folder / "net").mkdir()
    (folder / "net" / "network.toml").write_text(
        'name = "mine"\n[[stacks]]\nprefix = ""\ncell = "lstm"\ninput_size = 6\nhidden_size = 5\n'
    )
    shapes = {"weight_ih_l0": (20, 6), "weight_hh_l0": (20, 5)}
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "net" / "weights.safetensors")
    frames = [np.cumsum(rng.standard_normal((t, 6)), axis=0) * 0.3 for t in lengths]
    write_trace(Trace.from_arrays(frames, name="mine"), folder / "trace.npz")
    return folder


def arch_with(**fields):
    """Return E-PUR with fields changed, where `dpu__lanes=8` sets `dpu.lanes`."""
    arch = ArchSpec()
    for field, value in fields.items():
        arch = arch.replace(field.replace("__", "."), value)
    return arch


def decided(network, trace, arch, policy, theta):
    """Return an inference run in the number format of a machine."""
    return Stages(resolve(network, trace, arch, policy, theta, None, "block", 0)).inference()


def replayed(network, trace, arch, policy="bnn", theta=0.5, *, detail="block", inference=None):
    """Return the result of a machine of any number format on these decisions, by default its own."""
    inference = inference or decided(network, trace, arch, policy, theta)
    return simulate_inference(resolve(network, trace, arch, policy, theta, None, detail, 0), inference)


@st.composite
def machines(draw):
    """Draw any constants that a machine may have."""
    small, has_memo = st.integers(1, 6), draw(st.booleans())
    return StepTimes(
        dot_cycles=draw(small), memo_hit_cycles=draw(small), dot_pipeline_cycles=draw(st.integers(0, 9)),
        has_memo=has_memo, issue_cycles=draw(small), decision_cycles=draw(st.integers(0, 9)), run_ahead=draw(small),
        update_interval_cycles=draw(st.integers(0, 4)), update_pipeline_cycles=draw(st.integers(0, 9)),
        result_lag=draw(small), writeback_cycles=draw(st.integers(0, 3)),
    )  # fmt: skip


def naive_binary_product(weights, inputs):
    """Return SEMANTICS 1.3's product of the signs of weights (M, N) and inputs (N,), shape (M,)."""
    return np.where(weights >= 0, 1, -1) @ np.where(inputs >= 0, 1, -1)


def naive_code(values, step, bits):
    """Return the odd integer code of each value, as docs/predictors.md defines it."""
    half = 1 << (bits - 1)
    return 2 * np.clip(np.floor(values / step), -half, half - 1).astype(np.int64) + 1


def naive_ternary(values, least):
    """Return -1, 0 or 1 for each value, as docs/predictors.md defines it."""
    return np.where(np.abs(values) < least, 0, np.where(values >= 0, 1, -1))


def naive_drift_rule(predictions, theta, throttle=True, guard=0):
    """Return SEMANTICS 1.4's decisions for one neuron's integer predictions over time, True for reuse."""
    memo, drift, reused = 0, np.float32(0), []
    for t, now in enumerate(predictions):
        if now == memo:
            change = np.float32(0)
        elif now == 0:
            change = np.float32(np.inf)
        else:
            change = np.float32(abs(now - memo)) / np.float32(abs(now))
        total = drift + change if throttle else change
        guarded = guard and t % guard == 0
        if t > 0 and not guarded and total <= np.float32(theta):
            drift = total
            reused.append(True)
        else:
            memo, drift = now, np.float32(0)
            reused.append(False)
    return reused


def naive_step_ends(reused, times, resets_before=False):
    """Return S_{t+1} of decisions (T, G, H), by recursion over the formulas of SEMANTICS 2.2."""
    T, G, H = reused.shape
    never, end, ends = -(10**9), 0, []
    for t in range(T):
        u, a, free, r = {}, {}, {}, {}
        last_update, starts = never, [end] * G
        for gates in ([0], range(1, G)) if resets_before else (range(G),):
            m = {}
            for n in range(H):
                for k in gates:
                    before = u[k, n - 1] + times.issue_cycles if n else never
                    credit = a[k, n - times.run_ahead] if n >= times.run_ahead else never
                    u[k, n] = max(starts[k], before, credit)
                    f = u[k, n] + times.decision_cycles if times.has_memo else starts[k]
                    lag = m[n - times.result_lag] if n >= times.result_lag else never
                    a[k, n] = max(f, free[k, n - 1] if n else starts[k], lag)
                    free[k, n] = a[k, n] + (times.memo_hit_cycles if reused[t, k, n] else times.dot_cycles)
                    late = 0 if reused[t, k, n] else times.dot_pipeline_cycles
                    r[k, n] = max(free[k, n] + late, r[k, n - 1] if n else never)
                m[n] = last_update = max(last_update + times.update_interval_cycles, *(r[k, n] for k in gates), end)
            starts[-1] = last_update + times.update_pipeline_cycles + times.writeback_cycles
        end = starts[-1]
        ends.append(end)
    return ends


def naive_shared_step_ends(reused, times):
    """Return S_{t+1} of decisions (T, G, H) under shared dispatch; every pair of unit and gate is tried."""
    T, G, H = reused.shape
    never, start, ends = -(10**9), 0, []
    for t in range(T):
        u, a, r, m = {}, {}, {}, {}
        free, remote_free = dict.fromkeys(range(G), start), dict.fromkeys(range(G), start)
        heads = [0] * G
        while any(n < H for n in heads):
            pairs = []
            for k, n in enumerate(heads):
                if n == H or (n >= times.result_lag and n - times.result_lag not in m):
                    continue
                u[k, n] = max(start, u.get((k, n - 1), never) + times.issue_cycles, a.get((k, n - times.run_ahead), 0))
                offer = max(u[k, n] + times.decision_cycles, a.get((k, n - 1), 0), m.get(n - times.result_lag, 0))
                for j in range(G):
                    is_remote = j != k and not reused[t, k, n]
                    pairs.append((max(offer, free[j], remote_free[k] if is_remote else 0), j != k, n, k, j))
            at, _, n, k, j = min(pairs)
            a[k, n], heads[k] = at, n + 1
            free[j] = at + (times.memo_hit_cycles if reused[t, k, n] else times.dot_cycles)
            if j != k and not reused[t, k, n]:
                remote_free[k] = free[j]
            value = free[j] + (0 if reused[t, k, n] else times.dot_pipeline_cycles)
            r[k, n] = max(value, r.get((k, n - 1), 0))
            for n in range(len(m), min(heads)):
                m[n] = max(m.get(n - 1, never) + times.update_interval_cycles, *(r[k, n] for k in range(G)), start)
        start = m[H - 1] + times.update_pipeline_cycles + times.writeback_cycles
        ends.append(start)
    return ends


def write_classifier(folder, lengths, seed=0):
    """Write a network that classifies and a trace labelled with its own answers, `trace.npz`, into a folder.

    Without reuse it is always right, so that any loss is the policy's.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    (folder / "network.toml").write_text(
        'name = "classifier"\nmetric = "accuracy"\n'
        '[[stacks]]\nprefix = ""\ncell = "gru"\ninput_size = 6\nhidden_size = 5\n'
        '[head]\nkind = "mean-linear"\nweight = "w"\nbias = "b"\n'
    )
    shapes = {"weight_ih_l0": (15, 6), "weight_hh_l0": (15, 5), "w": (3, 5), "b": (3,)}
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "weights.safetensors")
    frames = [np.cumsum(rng.standard_normal((t, 6)), axis=0).astype(np.float32) * 0.3 for t in lengths]
    unlabelled = Trace.from_arrays(frames, name="own")
    answers = simulate(load_network(folder), unlabelled, policy="none").predictions
    write_trace(Trace.from_arrays(frames, answers, name="own"), folder / "trace.npz")
    return {"network": str(folder), "trace": str(folder / "trace.npz")}


def run_sweeps_in_process(patch, *modules):
    """Make sweeps that are begun in `modules` run each task at once in this process, until `patch` is undone."""
    for module in modules or (sweep_run,):
        patch.setattr(module, "pool_for", lambda *choice, **options: nullcontext(InProcessPool()))


class InProcessPool:
    """Pool that runs each task at once, in this process."""

    slots = 1

    def submit(self, task, cache):
        future = Future()
        future.set_result(work(task, cache, 1))
        return future

    def revive(self):
        raise AssertionError("nothing dies here")


def called_in_python(policy):
    """Return a plug-in that asks a built-in policy at every step, in Python, and decides and corrects as it does."""

    class Called:
        needs_threshold = uses_memo_unit = True
        needs_scales, predictor = getattr(policy, "needs_scales", False), policy.predictor
        name = "called"

        def begin(self, context):
            inner = policy.begin(context)

            class Pass:
                correction = None

                def decide(self, step):
                    assert step.shape[1:] == (context.n_gates, context.n_units)
                    reused = inner.decide(step)
                    self.correction = inner.correction
                    return reused

            return Pass()

    return Called()
