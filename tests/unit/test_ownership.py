"""Copies, pickles and buffers: an object computes the same bits anywhere, and callers cannot change it."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from harness import make_network, make_tokens, make_trace, make_translator

import archsim
from archsim.errors import NetworkError, TraceError
from archsim.ir.cells import LSTM, Cell, check_cell
from archsim.ir.heads import MeanClassifier
from archsim.ir.layers import Direction, Layer, make_direction
from archsim.ir.network import Embedding
from archsim.ownership import own
from archsim.policies import policy_from
from archsim.sweeps.grid import load_grid
from archsim.sweeps.pools import check_jobs


def pickled(value):
    return pickle.loads(pickle.dumps(value))  # noqa: S301


ROUNDS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickled,
    "pickle 2": lambda value: pickle.loads(pickle.dumps(value, 2)),  # noqa: S301
    "both": lambda value: copy.deepcopy(pickled(value)),
}


def arrays_in(value, seen=()):
    """Yield every array inside an object of archsim."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from arrays_in(part)
    elif type(value).__module__.startswith("archsim.") and hasattr(value, "__dict__"):
        for part in vars(value).values():
            yield from arrays_in(part)


def networks():
    for cell in ("lstm", "gru"):
        network = make_network(cell, inputs=5, units=4, layers=2, bidirectional=True)
        yield f"tiny {cell}", network, make_trace(network, (6, 1, 9))
    translator = make_translator(width=6, units=5)
    yield "translator", translator, make_tokens(translator, (4, 7))


CASES = [
    *(pytest.param(*case, trip, id=f"{name} {way}") for name, *case in networks() for way, trip in ROUNDS.items()),
    *(pytest.param(name, name, ROUNDS["both"], id=name) for name in ("imdb-lstm", "ds2-gru", "mnmt-lstm")),
]


@pytest.mark.parametrize("network, trace, round_trip", CASES)
def test_copied_network_and_trace_compute_the_same(network, trace, round_trip):
    if isinstance(network, str):
        network, trace = archsim.load_network(network), archsim.load_trace(trace).limit(1)
    before = archsim.simulate(network, trace, policy="bnn", threshold=0.4)
    other_network, other_trace = round_trip(network), round_trip(trace)
    assert (other_network.digest, other_trace.digest) == (network.digest, trace.digest)
    assert all(not array.flags.writeable for array in arrays_in((other_network, other_trace)))
    after = archsim.simulate(other_network, other_trace, policy="bnn", threshold=0.4)
    assert {**after.record, "wall_s": 0} == {**before.record, "wall_s": 0}
    for one, other in zip(before.outputs, after.outputs, strict=True):
        assert one.tobytes() == other.tobytes()
    assert after.predictions == before.predictions


def test_deep_copy_does_not_share_thresholds():
    network = archsim.load_network("imdb-lstm")
    kept = dict(network.thresholds)
    copy.deepcopy(network).thresholds["bnn"] = 9.0
    assert network.thresholds == kept


@pytest.mark.parametrize("round_trip", ROUNDS.values(), ids=ROUNDS)
def test_copied_result_holds_the_same_figures(round_trip, tiny_lstm, tiny_trace):
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="bnn", threshold=0.4)
    other = round_trip(result)
    assert other.record == result.record and other.energy.equals(result.energy)
    assert other.utilisation.equals(result.utilisation)
    for layer in (0, 1):
        np.testing.assert_array_equal(other.activity.reused(2, layer, 1), result.activity.reused(2, layer, 1))
        ends = (r.timing.step_end_cycles(2, layer, 1) for r in (other, result))
        np.testing.assert_array_equal(*ends)
    again = archsim.simulate(tiny_lstm, tiny_trace, policy="oracle", threshold=0.4, baseline=other.baseline)
    assert again.record["baseline_cycles"] == result.record["baseline_cycles"]


@pytest.mark.parametrize("round_trip", ROUNDS.values(), ids=ROUNDS)
@pytest.mark.parametrize("name", ["none", "bnn:throttle=off", "oracle", "ternary", "lowbit:bits=2", "delta"])
def test_copied_policy_and_machine_give_the_same_record(name, round_trip, tiny_lstm, tiny_trace):
    policy, arch = policy_from(name), archsim.load_arch("epur").replace("fmu.latency_cycles", 7)
    one, other = (
        archsim.simulate(tiny_lstm, tiny_trace, machine, chosen, threshold=0.3).record
        for machine, chosen in ((arch, policy), (round_trip(arch), round_trip(policy)))
    )
    assert {**one, "wall_s": 0} == {**other, "wall_s": 0}


UNKNOWN = Cell(
    name="minimal",
    kernel_id=9,
    torch_class="RNN",
    gates=("h",),
    gate_of_product=(0,),
    multiplies=0,
    adds=2,
    exponentials=1,
)


def test_unknown_cell_is_refused():
    direction = Direction(*(np.zeros(shape, np.float32) for shape in ((4, 3), (4, 4), (4,), (4,))))
    with pytest.raises(NetworkError, match="cell 'minimal' is not supported; accepted: lstm, gru"):
        Layer("l0", UNKNOWN, 3, 4, (direction,))
    with pytest.raises(NetworkError, match="cell 'lstm' is not supported"):
        check_cell(replace(LSTM, adds=9))
    check_cell(pickled(LSTM))


# Arrays that the caller changes later


def filled_again(fill, shape, dtype):
    """Yield one buffer, filled anew for each sequence."""
    buffer = np.empty(shape, dtype)
    for i in range(3):
        buffer[...] = fill(i)
        yield buffer


def test_trace_from_a_generator_copies_its_reused_buffer():
    frames = archsim.Trace.from_arrays(filled_again(lambda i: i + 0.5, (2, 4), np.float32))
    assert [float(x[0, 0]) for x in frames.sequences] == [0.5, 1.5, 2.5]
    tokens = archsim.Trace.from_arrays(filled_again(lambda i: i, (2,), np.int64))
    assert [int(x[0]) for x in tokens.sequences] == [0, 1, 2]
    audio = archsim.Trace.from_audio(filled_again(lambda i: i, (900,), np.int16), sample_rate_hz=8000)
    assert [int(x[0]) for x in audio.sequences] == [0, 1, 2]


def writeable(shape, dtype=np.float32):
    return np.ones(shape, dtype)


def read_only_view(shape, dtype=np.float32):
    view = np.ones(shape, dtype)[:]
    view.flags.writeable = False
    return view


@pytest.mark.parametrize("make", [writeable, read_only_view])
@pytest.mark.parametrize("of", [
    lambda a: archsim.Trace.from_arrays([a((3, 4))]), lambda a: archsim.Trace.from_arrays([a((3,), np.int64)]),
    lambda a: archsim.Trace.from_audio([a((900,), np.int16)], sample_rate_hz=8000),
    lambda a: archsim.Trace("mine", "frames", (a((3, 4)),)),
    lambda a: Embedding(a((3, 4))), lambda a: MeanClassifier(a((2, 4)), a((2,))),
    lambda a: make_direction("d", LSTM, {"weight_ih": a((8, 3)), "weight_hh": a((8, 2))}),
    lambda a: Direction(a((8, 3)), a((8, 2)), a((8,)), a((8,))),
])  # fmt: skip
def test_arrays_changed_after_construction_change_nothing(of, make):
    given = []

    def keep(*arguments):
        given.append(make(*arguments))
        return given[-1]

    made = of(keep)
    inside = list(arrays_in(made))
    assert inside and all((array == 1).all() or (array == 0).all() for array in inside)
    kept = [array.copy() for array in inside]
    for array in given:
        (array if array.flags.writeable else array.base)[...] = 7
    for array, before in zip(inside, kept, strict=True):
        assert not array.flags.writeable
        np.testing.assert_array_equal(array, before)


def test_read_only_arrays_are_not_copied():
    mine = np.array([[0, 1, 2], [3, 4, 5]], np.float32)
    mine.flags.writeable = False
    buffer = np.frombuffer(b"abcd", np.uint8)
    assert all(np.shares_memory(own(array), array) for array in (mine, mine[:1], buffer))
    assert own(mine, np.float64).dtype == np.float64 and own(mine.T).flags.c_contiguous


# Kinds of arrays and numbers


@pytest.mark.parametrize("values, message", [
    (np.ma.masked_less(np.ones((2, 3)), 2), "masked"),
    (np.ones((2, 3), np.complex64), "complex64"), (np.ones((2, 3), bool), "bool"),
    (np.array([["a", "b"]]), "<U1"), (np.array([[1, None]], object), "object"),
    (np.array(["2020"], "datetime64[Y]"), "datetime64"), ([[1.0], [1.0, 2.0]], "ragged"),
    (np.array([2**63], np.uint64), "too large"), (np.array([[1, 2**24 + 1]]), "whole numbers beyond"), (np.array([[1e300]]), "1e.300"),
])  # fmt: skip
def test_array_that_float32_cannot_hold_is_refused(values, message):
    with pytest.raises(TraceError, match=message):
        archsim.Trace.from_arrays([values])


def test_dense_torch_tensors_are_accepted_others_refused():
    torch = pytest.importorskip("torch")
    values = torch.linspace(-1, 1, 6).reshape(2, 3)
    for given in (values, values.bfloat16(), values.half(), values.double(), values.requires_grad_()):
        taken = archsim.Trace.from_arrays([given]).sequences[0]
        np.testing.assert_array_equal(taken, given.detach().float().numpy())
    for bad in (values.detach().to_sparse(), torch.ones(2, 3, device="meta")):
        with pytest.raises(TraceError, match="sequence 0 is no dense array"):
            archsim.Trace.from_arrays([bad])


@pytest.mark.parametrize("dtype", [np.int8, np.bool_, np.complex64, np.uint16])
def test_weights_of_other_than_floating_point_are_refused(dtype):
    weights = {"weight_ih": np.ones((8, 3), dtype), "weight_hh": np.ones((8, 2), np.float32)}
    with pytest.raises(NetworkError, match=f"d: weight_ih is {np.dtype(dtype)}, need floating point"):
        make_direction("d", LSTM, weights)


def test_numpy_scalars_are_accepted_as_numbers(tiny_lstm, tiny_trace):
    one, other = (
        archsim.simulate(tiny_lstm, tiny_trace.limit(limit), threshold=theta, seed=seed).record
        for limit, theta, seed in ((2, 0.5, 3), (np.int64(2), np.float32(0.5), np.uint8(3)))
    )
    assert {**one, "wall_s": 0} == {**other, "wall_s": 0}
    assert archsim.Trace.from_audio([np.ones(900, np.int16)], sample_rate_hz=np.int32(8000)).sample_rate_hz == 8000


def test_thresholds_from_numpy_and_torch_equal_lists(tiny_lstm, tiny_trace):
    torch = pytest.importorskip("torch")
    for theta in ([0.2, 0.9], [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]]):
        records = [
            archsim.simulate(tiny_lstm, tiny_trace, threshold=given).record
            for given in (theta, np.array(theta), torch.tensor(theta, dtype=torch.float64))
        ]
        assert len({(r["digest"], r["neurons_reused"]) for r in records}) == 1


def test_fields_and_grids_accept_numpy_scalars():
    arch = archsim.load_arch("epur").replace("fmu.latency_cycles", np.int64(3))
    assert arch == archsim.load_arch("epur").replace("fmu.latency_cycles", 3)
    tables = {"axes": {"threshold": [0.1, 0.2]}, "fixed": {"limit": 1}}
    given = {"axes": {"threshold": np.array([0.1, 0.2])}, "fixed": {"limit": np.int64(1)}}
    assert load_grid(given) == load_grid(tables)


@pytest.mark.parametrize("call, message", [
    (lambda: archsim.load_arch("epur").replace("fmu.latency_cycles", np.True_), "fmu.latency_cycles = True"),
    (lambda: archsim.load_arch("epur").replace("fmu.latency_cycles", np.array([3])), r"fmu.latency_cycles = \[3\]"),
    (lambda: archsim.write_trace(archsim.Trace.from_texts(["a"]), 3), "cannot write to a int"),
    (lambda: load_grid(3), "grid is a int: need a TOML file"), (lambda: check_jobs("1"), "jobs = '1': need a whole"),
])  # fmt: skip
def test_argument_of_a_wrong_type_is_refused(call, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        call()


@pytest.mark.parametrize("limit", [0, -1, 2.0, "2", True, np.True_, np.array([2])])
def test_limit_that_is_no_positive_int_is_refused(limit, tiny_trace):
    with pytest.raises(TraceError, match="limit = .*need a whole number"):
        tiny_trace.limit(limit)
