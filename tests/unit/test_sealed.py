"""Seals of files: what is read back is what was written for that purpose, or it is made again with a warning."""

import json
import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from harness import make_network, make_trace, run_sweeps_in_process, write_lstm_files
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors import safe_open

from archsim.files import write_whole
from archsim.reproduce import dataset_results
from archsim.sealed import blank_seal, digest_of, is_sealed, seal
from archsim.sweeps.run import run_sweep


@pytest.fixture
def in_process(monkeypatch):
    """Run sweeps without worker processes."""
    run_sweeps_in_process(monkeypatch)


def sealed_file(path, before=b"some", after=b" text", key="me"):
    path.write_bytes(before + blank_seal(key).encode() + after)
    seal(path, key)
    return path


def test_sealed_file_holds_its_seal(tmp_path):
    path = sealed_file(tmp_path / "file")
    assert is_sealed(path, "me") and path.read_bytes().startswith(b"somearchsim-seal:me:")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch") / "file"


@given(before=st.binary(max_size=40), after=st.binary(max_size=40), data=st.data())
def test_any_flipped_bit_breaks_a_seal(before, after, data, scratch):
    assume(b"archsim-seal" not in before + after)
    whole = sealed_file(scratch, before, after).read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    scratch.write_bytes(flipped)
    assert not is_sealed(scratch, "me")
    scratch.write_bytes(whole)
    assert is_sealed(scratch, "me")


@pytest.mark.parametrize("spoil", [
    lambda data: data[:-1], lambda data: data + b" ", lambda data: data + data, lambda data: b"", lambda data: data[5:],
    lambda data: data.replace(b"me:", b"you:"), lambda data: data[: data.index(b":me:") + 9],
])  # fmt: skip
def test_cut_grown_or_relabelled_file_breaks_its_seal(spoil, tmp_path):
    path = sealed_file(tmp_path / "file")
    path.write_bytes(spoil(path.read_bytes()))
    assert not is_sealed(path, "me")


def test_seal_of_another_key_is_not_accepted(tmp_path):
    path = sealed_file(tmp_path / "file", key="mine")
    assert not is_sealed(path, "me") and not is_sealed(path, "min") and not is_sealed(tmp_path, "mine")
    assert not is_sealed(tmp_path / "nowhere", "mine")


def test_digest_depends_on_where_texts_end():
    digests = {digest_of(*texts) for texts in (("ab", "c"), ("a", "bc"), ("abc",), (None, "abc"), ("abc", None), ())}
    assert len(digests) == 6


# The cache of a sweep


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with a network, a trace, and a sweep of two passes and one baseline."""
    user_files = write_lstm_files(tmp_path_factory.mktemp("made"), (7, 4, 9))
    with pytest.MonkeyPatch.context() as patch:
        run_sweeps_in_process(patch)
        run_sweep(grid(user_files, [3]), user_files / "out")
    return user_files


def grid(user_files, latencies):
    fixed = {"network": str(user_files / "net"), "trace": str(user_files / "trace.npz")}
    return {"axes": {"threshold": [0.2, 0.6], "arch.fmu.latency_cycles": latencies}, "fixed": fixed}


def expected(user_files):
    return run_sweep(grid(user_files, [3, 5, 8]), user_files / "undisturbed").results


@pytest.fixture
def out(made, tmp_path):
    """Return a copy of the sweep's folder, which the test may damage."""
    return shutil.copytree(made / "out", tmp_path / "out")


def flip_bit(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def flip_in_data(passes, baseline):
    flip_bit(passes[0], -1)


def flip_in_metadata(passes, baseline):
    flip_bit(passes[1], passes[1].read_bytes().index(b'"kind":"neurons"') + 10)


def swap(passes, baseline):
    other = passes[0].with_name("other")
    passes[0].rename(other)
    passes[1].rename(passes[0])
    other.rename(passes[1])


def change_digit(passes, baseline):
    text = baseline.read_text()
    at = text.index('"time_ps": ') + len('"time_ps": ')
    baseline.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])


def write_unsealed(passes, baseline):
    """Write a baseline as an older archsim did."""
    baseline.write_text(json.dumps(json.loads(baseline.read_text())["run"]))


def cut(passes, baseline):
    passes[0].write_bytes(passes[0].read_bytes()[:-3])


@pytest.mark.parametrize("spoil", [flip_in_data, flip_in_metadata, swap, change_digit, write_unsealed, cut])
def test_damaged_cache_gives_the_same_results_and_a_warning(spoil, made, out, in_process, caplog):
    *files, baseline = sorted((out / "cache").iterdir(), key=lambda path: path.suffix == ".json")
    whole = {path: path.read_bytes() for path in (*files, baseline)}
    spoil(files, baseline)
    spoilt = {path.name for path, data in whole.items() if path.read_bytes() != data}
    result = run_sweep(grid(made, [3, 5, 8]), out)
    pd.testing.assert_frame_equal(result.results, expected(made))
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(messages) == len(spoilt) and all("so it is made again" in line for line in messages)
    assert {name for line in messages for name in whole_names(whole) if name in line} == spoilt
    caplog.clear()
    run_sweep(grid(made, [3, 5, 8, 9]), out)
    assert not caplog.records, "made anew once"


def whole_names(files):
    return [path.name for path in files]


def test_intact_cache_is_used_without_warning(made, out, in_process, caplog, computed_policies):
    run_sweep(grid(made, [3, 5]), out)
    assert computed_policies == [] and not caplog.records


def test_sealed_pass_is_a_valid_safetensors_file(made):
    path = next((made / "out" / "cache").glob("*.pass.safetensors"))
    with safe_open(path, "numpy") as file:
        assert file.metadata()["kind"] == "neurons" and file.get_tensor("steps.0.0").dtype == np.int64


# Observations of single neurons, as `reproduce` stores them


class SmallDataset:
    """Dataset of one tiny network."""

    name, networks, observed = "small", ("tiny",), {"tiny": 2}

    def trace(self, name):
        return make_trace(make_network("lstm", inputs=5, units=4), (6, 5, 4))


@pytest.fixture
def observed(monkeypatch):
    """Return a list that grows with each observation."""
    seen, real = [], dataset_results.observe
    monkeypatch.setattr(dataset_results, "load_network", lambda name: make_network("lstm", inputs=5, units=4))
    monkeypatch.setattr(dataset_results, "observe", lambda *what: seen.append(what) or real(*what))
    return seen


def test_damaged_observation_is_made_again(observed, tmp_path, caplog):
    first = dataset_results._observe(SmallDataset(), "tiny", tmp_path)
    again = dataset_results._observe(SmallDataset(), "tiny", tmp_path)
    assert len(observed) == 1 and not caplog.records
    for part, frame in first.items():
        pd.testing.assert_frame_equal(frame, again[part])
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 4
    for spoil in (rewrite, lambda path: flip_bit(path, 40), lambda path: path.write_bytes(paths[1].read_bytes())):
        caplog.clear()
        spoil(paths[0])
        result = dataset_results._observe(SmallDataset(), "tiny", tmp_path)
        assert [paths[0].name in record.getMessage() for record in caplog.records] == [True]
        pd.testing.assert_frame_equal(result["change_summary"], first["change_summary"])
        pd.testing.assert_frame_equal(result["changes"], first["changes"])
    assert len(observed) == 4


def rewrite(path):
    """Change one figure of a table."""
    frame = pd.read_parquet(path)
    frame.iloc[0, -1] = frame.iloc[0, -1] + 1
    frame.to_parquet(path, index=False)


def test_missing_observation_is_made_without_warning(observed, tmp_path, caplog):
    dataset_results._observe(SmallDataset(), "tiny", tmp_path)
    next(tmp_path.iterdir()).unlink()
    dataset_results._observe(SmallDataset(), "tiny", tmp_path)
    assert len(observed) == 2 and not caplog.records


def test_file_without_blank_seal_is_not_written(tmp_path):
    with pytest.raises(AssertionError), write_whole(tmp_path / "file") as temporary:
        temporary.write_text("no blank seal")
        seal(temporary, "me")
    assert list(tmp_path.iterdir()) == []
