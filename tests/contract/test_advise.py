"""`archsim advise` as a user runs it: verdict, page, records, exit codes, and equal bytes."""

import json

import numpy as np
import pytest
from harness import write_classifier, write_lstm_files
from harness_processes import archsim

from archsim.traceio.files import write_trace
from archsim.traceio.trace import Trace


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Return the options that name a tiny classifier and its trace."""
    paths = write_classifier(tmp_path_factory.mktemp("own") / "net", [12] * 40, seed=1)
    return ("--network", paths["network"], "--trace", paths["trace"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with a network without a metric, and traces of drifting and of unrelated frames."""
    folder = write_lstm_files(tmp_path_factory.mktemp("plain"), (20, 14, 17, 12))
    frames = np.random.default_rng(0).standard_normal((4, 15, 6)).astype(np.float32)
    write_trace(Trace.from_arrays(list(frames), name="noise"), folder / "noise.npz")
    return folder


def test_advice_on_a_classifier_counts_points_of_its_metric(classifier, tmp_path):
    done = archsim("advise", *classifier, "--max-loss", 10, "-p", "bnn delta", "--json", "a.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith(("YES, by ", "NO: ")) and "of accuracy" in first
    records = json.loads((tmp_path / "a.json").read_text())
    assert [record["policy"] for record in records] == ["none", "bnn", "delta"]
    assert all(record["verdict"] == first and record["metric"] in ("accuracy", None) for record in records)
    assert "policies: 1 of at most" in done.stderr


def test_white_noise_prints_no_first_and_writes_a_page(files, tmp_path):
    options = ("-n", files / "net", "-t", files / "noise.npz", "--html", "a.html")
    done = archsim("advise", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    assert words[0].startswith("NO: ") and "consecutive inputs differ by 1" in words[0]
    assert words[-1] == "page: a.html" and [path.name for path in tmp_path.iterdir()] == ["a.html"]
    for heading in ("Policies", "How similar consecutive steps are", "What bounds the machine", "Which layers profit"):
        assert heading in words


def test_repeated_advice_gives_the_same_bytes(files, tmp_path):
    options = ("-n", files / "net", "-t", files / "trace.npz", "-p", "delta", "--max-change", 0.1)
    runs = [
        archsim("advise", *options, "--html", f"{name}.html", "--json", f"{name}.json", cwd=tmp_path) for name in "ab"
    ]
    assert [run.returncode for run in runs] == [0, 0]
    assert runs[0].stdout.replace("a.html", "b.html") == runs[1].stdout
    for kind in ("html", "json"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_narrow_terminal_shows_every_number(files, tmp_path):
    done = archsim("advise", "-n", files / "net", "-t", files / "trace.npz", "-p", "delta", cwd=tmp_path, columns=40)
    assert done.returncode == 0 and "times as fast: 1.00" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-t", "trace.npz", "--max-loss", "1"], "network mine names no metric"),
        (["-t", "trace.npz", "--max-loss", "1", "--max-change", "0.1"], "need at most one of them"),
        (["-t", "trace.npz", "--max-change", "-1"], "max_change = -1.0: need a finite number >= 0"),
        (["-t", "trace.npz", "--split", "test"], "--trace trace.npz and --split test: need at most one of them"),
        (["-t", "trace.npz", "--limit", "0"], "limit = 0: need a whole number"),
        (["-t", "trace.npz", "-p", "bnm"], "did you mean 'bnn'"),
        (["-t", "nothing.npz"], "nothing.npz"),
        (["-t", "trace.npz", "--html", "trace.npz"], "are one file"),
        (["-t", "trace.npz", "--html", "no/folder/a.html"], "no/folder"),
        (["--inputs", "trace.npz"], "name the ONNX model that takes them"),
        ([], "mine has no trace of its own"),
    ],
)
def test_bad_options_exit_with_2_and_one_message(files, options, message):
    before = sorted(files.rglob("*"))
    done = archsim("advise", "-n", "net", *options, "--json", "a.json", cwd=files)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("reading:")]
    assert len(errors) == 1 and message in errors[0], done.stderr
    assert sorted(files.rglob("*")) == before


def test_onnx_model_takes_inputs(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from harness_onnx import saved
    from harness_onnx_exports import step_model

    model, feed = step_model(inputs=24, units=16)
    saved(model, tmp_path)
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((10, *feed["x"].shape)).astype(np.float32).cumsum(0)
    calls = {f"x/{i}": frame for i, frame in enumerate(frames)}
    np.savez(tmp_path / "feeds.npz", **calls, **{name: value for name, value in feed.items() if name != "x"})
    done = archsim("advise", "-n", "model.onnx", "--inputs", "feeds.npz", "-p", "delta", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(("YES", "NO")), done.stderr
    refused = archsim("advise", "-n", "model.onnx", "-t", "imdb-lstm", cwd=tmp_path)
    assert refused.returncode == 2 and "--trace does not go with an ONNX model" in refused.stderr
