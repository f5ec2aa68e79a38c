"""Traces that are accepted or refused with a reason, and files that round-trip."""

import os
import zipfile

import numpy as np
import pytest

import archsim
from archsim.errors import TraceError
from archsim.traceio.files import read_trace, write_trace
from archsim.traceio.trace import Trace

FRAMES = [np.ones((3, 2), np.float32), np.zeros((1, 2), np.float32)]
TRACES = {
    "frames": Trace.from_arrays(FRAMES, [1, 0], name="f"),
    "tokens": Trace.from_arrays([np.array([4, 1]), np.array([2])], name="t"),
    "text": Trace.from_texts(["good film", "schlecht, äh"], [1, 0], name="x"),
    "audio": Trace.from_audio([np.arange(9, dtype=np.int16)], ["three äh"], sample_rate_hz=8000, name="a"),
    "fine frames": Trace.from_arrays([np.full((1, 2), 0.1, np.float32)], ["x"], name="g"),
}


@pytest.mark.parametrize("kind", TRACES)
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_trace_file_round_trips(kind, suffix, tmp_path):
    write_trace(TRACES[kind], tmp_path / f"a{suffix}")
    again = archsim.load_trace(tmp_path / f"a{suffix}")
    written = TRACES[kind]
    assert (again.kind, again.name, again.targets) == (written.kind, written.name, written.targets)
    assert again.sample_rate_hz == written.sample_rate_hz
    assert again.digest == TRACES[kind].digest


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_equal_traces_give_equal_file_bytes(suffix, tmp_path):
    for name in ("a", "b"):
        write_trace(TRACES["frames"], tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_frames_are_stored_in_binary16_if_exact(tmp_path):
    for kind, dtype in (("frames", np.float16), ("fine frames", np.float32)):
        write_trace(TRACES[kind], tmp_path / "a.npz")
        assert np.load(tmp_path / "a.npz")["data"].dtype == dtype


@pytest.mark.parametrize("arrays, message", [
    ([], "no sequences"),
    ([np.zeros((0, 3))], r"sequence 0 is empty \(shape \(0, 3\)\), need at least one step"),
    ([np.zeros((2, 3)), np.array([[1.0, np.nan, 0.0]])], "sequence 1: step 0, input 1 is nan, need finite"),
    ([np.full((1, 2), 1e39)], "input 0 is 1e.39, need finite numbers that float32 can hold"),
    ([np.zeros((2, 3)), np.zeros((2, 4))], r"differ in width \(3, 4\)"),
    ([np.zeros(3)], r"has shape \(3,\) of float64, need"),
    ([np.zeros((2, 3, 4))], r"has shape \(2, 3, 4\)"),
    ([[[1, 2], [3]]], "is ragged"),
    ([np.array([["a"]])], "need .T, I. numbers"),
    (np.zeros((2, 3)), "got one array of shape"),
])  # fmt: skip
def test_invalid_arrays_are_refused(arrays, message):
    with pytest.raises(TraceError, match=message):
        Trace.from_arrays(arrays)


def test_targets_of_wrong_number_or_type_are_refused():
    with pytest.raises(TraceError, match="1 targets for 2 sequences"):
        Trace.from_arrays(FRAMES, [1])
    with pytest.raises(TraceError, match="need one integer"):
        Trace.from_arrays(FRAMES, [0.5, 1.0])
    with pytest.raises(TraceError, match="targets are one text, need a list"):
        Trace.from_arrays(FRAMES, "ab")


def test_torch_tensors_with_gradients_are_accepted():
    torch = pytest.importorskip("torch")
    trace = Trace.from_arrays([torch.ones(3, 2, requires_grad=True)])
    np.testing.assert_array_equal(trace.sequences[0], np.ones((3, 2), np.float32))


def test_trace_without_name_takes_the_name_of_its_file(tmp_path):
    write_trace(Trace.from_arrays(FRAMES), tmp_path / "walk.npz")
    assert read_trace(tmp_path / "walk.npz").name == "walk"


def test_swapped_arguments_of_write_trace_are_refused(tmp_path):
    with pytest.raises(TraceError, match=r"need write_trace\(trace, path\)"):
        write_trace(tmp_path / "a.npz", TRACES["frames"])


def test_repr_of_objects_is_short(tiny_lstm, tiny_trace):
    result = archsim.simulate(tiny_lstm, tiny_trace, threshold=0.5)
    assert all(len(repr(thing)) < 600 for thing in (tiny_trace, tiny_lstm, result, result.activity))


def test_single_or_blank_text_is_refused():
    with pytest.raises(TraceError, match="got one text, need a list"):
        Trace.from_texts("hello")
    with pytest.raises(TraceError, match="sequence 1 is '  ', need a text"):
        Trace.from_texts(["fine", "  "])


@pytest.mark.parametrize("limit", [0, -3])
def test_limit_below_one_is_refused(limit):
    with pytest.raises(TraceError, match="need a whole number, at least 1 sequence"):
        TRACES["frames"].limit(limit)


def saved(tmp_path, **changes):
    """Write a trace file with arrays replaced, or dropped for None."""
    write_trace(TRACES["frames"], tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        arrays = {**file, **changes}
    np.savez(tmp_path / "bad.npz", **{k: v for k, v in arrays.items() if v is not None})
    return tmp_path / "bad.npz"


@pytest.mark.parametrize("changes, message", [
    ({"lengths": None}, "array 'lengths' is missing"),
    ({"lengths": np.array([3, 2])}, "lengths add up to 5, data has 4 rows"),
    ({"lengths": np.array([5, -1])}, "need one whole number >= 1"),
    ({"format": np.array(9)}, "format is 9, this version reads 1"),
    ({"meta": np.frombuffer(b"{}", np.uint8)}, "accepted: frames, tokens, text"),
    ({"meta": np.frombuffer(b"\xff", np.uint8)}, "not UTF-8"),
    ({"meta": np.array(["{}"])}, "meta is of type <U2, need whole or floating point numbers"),
    ({"data": np.zeros((4, 2), complex)}, "data is of type complex128, need whole or floating point numbers"),
    ({"data": np.full((4, 2), np.inf)}, "is inf, need finite"),
])  # fmt: skip
def test_trace_file_with_invalid_arrays_is_refused_by_name(changes, message, tmp_path):
    path = saved(tmp_path, **changes)
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(path)
    assert str(path) in str(caught.value)


class Bomb:
    """Object whose unpickling would make a folder."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_pickles_are_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, data=np.array([Bomb()], dtype=object))
    with pytest.raises(TraceError, match="holds pickled objects, which are never read"):
        read_trace(path)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", ["cut.npz", "cut.h5", "text.npz", "missing.npz", "bare.npz", "zip.npz"])
def test_file_that_is_no_trace_is_refused_by_name(name, tmp_path):
    path = tmp_path / name
    if name.startswith("cut"):
        write_trace(TRACES["frames"], path)
        path.write_bytes(path.read_bytes()[:200])
    elif name == "text.npz":
        path.write_text("hello")
    elif name == "bare.npz":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif name == "zip.npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data.npy", b"\x93NUMPY\x01\x00")
    with pytest.raises(TraceError, match=name):
        read_trace(path)


def test_failed_write_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("numpy.lib.format.write_array", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_trace(TRACES["frames"], tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


def test_write_follows_a_link_and_refuses_a_pipe(tmp_path):
    (tmp_path / "link.npz").symlink_to(tmp_path / "real.npz")
    write_trace(TRACES["frames"], tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink() and (tmp_path / "real.npz").is_file()
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(archsim.ArchsimError, match="not a regular file"):
        write_trace(TRACES["frames"], tmp_path / "pipe.npz")


@pytest.mark.parametrize("target, message", [
    ("no/a.npz", "does not exist"), ("a.txt", "accepted: .npz, .h5"), ("x" * 260 + ".npz", "longer than 255"),
])  # fmt: skip
def test_invalid_output_path_is_refused(target, message, tmp_path):
    with pytest.raises(archsim.ArchsimError, match=message):
        write_trace(TRACES["frames"], tmp_path / target)


@pytest.mark.parametrize("change, message", [
    ({"meta": b'{"kind": ["frames"]}'}, "does not name the kind"),
    ({"meta": b"[" * 100_000}, "meta is not JSON"),
    ({"format": np.zeros((), [("a", "i4")])}, "format is of records"),
    ({"texts": np.frombuffer(b"one", np.uint8)}, "1 targets for 2 sequences"),
    ({"targets": np.array([0, 1], np.uint8)}, None),
])  # fmt: skip
def test_odd_arrays_in_a_trace_file_are_read_or_refused(change, message, tmp_path):
    """Small integers are classes like any other."""
    write_trace(TRACES["frames"], tmp_path / "a.npz")
    arrays = dict(np.load(tmp_path / "a.npz"))
    del arrays["targets"]
    odd = {
        name: np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value for name, value in change.items()
    }
    np.savez(tmp_path / "b.npz", **arrays | odd)
    if message is None:
        assert archsim.load_trace(tmp_path / "b.npz").targets == (0, 1)
        return
    with pytest.raises(TraceError, match=message):
        archsim.load_trace(tmp_path / "b.npz")


def test_npz_members_that_are_no_arrays_are_ignored(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in ("format", "meta", "data", "lengths"):
            archive.writestr(name, b"junk")
    with pytest.raises(TraceError, match="array 'format' is missing"):
        archsim.load_trace(tmp_path / "a.npz")


def test_text_with_a_lone_surrogate_is_refused():
    for texts, targets in ((["a \ud800"], None), (["a"], ["b \ud800"])):
        with pytest.raises(TraceError, match="holds a character that is no Unicode text"):
            Trace.from_texts(texts, targets)
