"""Commands that take ONNX models: run, show, import."""

import json

import numpy as np
import pytest

import archsim

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from harness_onnx import NodeSpec, build, plain_model, saved
from harness_onnx_exports import step_model

from archsim.cli.exit import exit_code
from archsim.cli.main import archsim as command_line


def run_command(*arguments):
    return exit_code(lambda: command_line([str(argument) for argument in arguments], standalone_mode=False))


@pytest.fixture
def model(tmp_path):
    """Return the path of a model of one LSTM `rnn0`, and a feed for it."""
    onnx_model, feeds = build(plain_model(NodeSpec(), steps=6))
    return saved(onnx_model, tmp_path), feeds


def written(folder, **arrays):
    path = folder / "feeds.npz"
    np.savez(path, **arrays)
    return path


def test_run_prints_gains_and_the_change_of_each_output(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")  # wide enough for the headers
    path, feeds = model
    inputs = written(tmp_path, **{"X/0": feeds["X"], "X/1": 0.5 * feeds["X"]})
    records = tmp_path / "r.json"
    options = ["--policy", "bnn", "--policy", "none", "--threshold", 0.4, "--json", records]
    assert run_command("run", "--network", path, "--inputs", inputs, *options) == 0
    printed = capsys.readouterr().out
    assert "changed by bnn" in printed and "from ONNX Runtime's" in printed
    first, plain = json.loads(records.read_text())
    assert (first["network"], first["trace"], first["sequences"]) == ("model.onnx", "feeds.npz", 4)
    assert first["reuse_fraction"] > 0 and plain["speedup"] == 1.0
    expected = archsim.OnnxModel(path).run([{"X": feeds["X"]}, {"X": 0.5 * feeds["X"]}], "bnn", 0.4).result
    assert first["cycles"] == expected.record["cycles"]


def test_run_of_several_parts_prints_each_ones_units_with_verbose(tmp_path, capsys):
    onnx_model, feeds = build(plain_model(NodeSpec(), NodeSpec(op="GRU"), between=("tanh",)))
    inputs = written(tmp_path, **feeds)
    options = ["--inputs", inputs, "--policy", "none", "--verbose"]
    assert run_command("run", "-n", saved(onnx_model, tmp_path), *options) == 0
    printed = capsys.readouterr().out
    assert "rnn0: use of each unit" in printed and "rnn1: energy in" in printed


def test_run_takes_state_of_the_first_call_and_carries_it_on(tmp_path):
    onnx_model, first = step_model(batch=1, keeps_scalar=True)
    calls = {f"x/{i}": first["x"] * i for i in range(4)}
    inputs = written(tmp_path, state=first["state"], rate=first["rate"], **calls)
    model = archsim.OnnxModel(saved(onnx_model, tmp_path))
    feeds = model.read_feeds(inputs)
    assert [sorted(feed) for feed in feeds] == [["rate", "state", "x"], *[["rate", "x"]] * 3]
    assert [len(x) for x in model.run(feeds, policy="none").session.trace.sequences] == [4]


def test_limit_is_of_calls(model, tmp_path):
    path, feeds = model
    inputs, records = written(tmp_path, **{"X/0": feeds["X"], "X/1": feeds["X"]}), tmp_path / "r.json"
    assert run_command("run", "-n", path, "--inputs", inputs, "-p", "none", "--limit", 1, "--json", records) == 0
    assert json.loads(records.read_text())[0]["sequences"] == 2  # the batch of one call


def test_model_that_the_runtime_does_not_run_has_no_difference_from_it(tmp_path, capsys):
    onnx_model, feeds = build(plain_model(NodeSpec(layout=1)))
    inputs = written(tmp_path, **feeds)
    assert run_command("run", "-n", saved(onnx_model, tmp_path), "--inputs", inputs, "-p", "none") == 0
    assert "ONNX Runtime alone does not run this model" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, message", [
    (["-n", "MODEL"], "an ONNX model takes --inputs feeds.npz"),
    (["--inputs", "FEEDS"], "name the ONNX model that takes them"),
    (["-n", "imdb-lstm", "--inputs", "FEEDS"], "name the ONNX model that takes them"),
    (["-n", "MODEL", "--inputs", "FEEDS", "--trace", "imdb-lstm"], "--trace does not go with an ONNX model"),
    (["-n", "MODEL", "--inputs", "FEEDS", "--timeline", "t.json"], "--timeline does not go with an ONNX model"),
    (["-n", "MODEL", "--inputs", "FEEDS", "--sensitivity"], "--sensitivity does not go with an ONNX model"),
    (["-n", "MODEL", "--inputs", "FEEDS", "--limit", "0"], "--limit 0: need at least 1 call"),
    (["-n", "MODEL", "--inputs", "FEEDS"], "policy 'bnn' needs one for rnn0"),
    (["-n", "MODEL", "--inputs", "absent.npz"], "absent.npz: not a whole .npz file"),
    (["-n", "absent.onnx", "--inputs", "FEEDS"], "absent.onnx: no such file, need an ONNX model"),
    (["-n", "MODEL", "--inputs", "FEEDS", "--json", "FEEDS"], "--inputs and --json are one file"),
])  # fmt: skip
def test_options_that_do_not_go_together_end_in_one_message(arguments, message, model, tmp_path, capsys):
    path, feeds = model
    files = {"MODEL": path, "FEEDS": written(tmp_path, **feeds)}
    assert run_command("run", *(files.get(argument, argument) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("arrays, message", [
    ({"Y": np.zeros(3)}, "array 'Y' is no input; accepted: NAME or NAME/0, NAME/1, ... with NAME one of X"),
    ({"X/a": np.zeros(3)}, "array 'X/a' is no input"),
    ({"X/1": np.zeros((2, 2, 3))}, "there is a call 1, but no array of call 0"),
    ({"X": np.zeros((2, 2, 3)), "X/0": np.zeros((2, 2, 3))}, "array 'X' is for all calls, but there are others"),
])  # fmt: skip
def test_arrays_that_are_no_feeds_are_refused(arrays, message, model, tmp_path):
    with pytest.raises(archsim.ArchsimError) as caught:
        archsim.OnnxModel(model[0]).read_feeds(written(tmp_path, **arrays))
    assert message in str(caught.value)


def test_show_prints_what_is_simulated_left_outside_and_refused(tmp_path, capsys):
    onnx_model, _ = build(plain_model(NodeSpec(), NodeSpec(attributes={"clip": 1.0})))
    assert run_command("show", saved(onnx_model, tmp_path)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert all(part in printed for part in ("simulated here", "left outside", "refused", "clip = 1 is not simulated"))


def test_import_makes_a_network_folder_of_the_named_node(tmp_path, capsys):
    onnx_model, _ = build(plain_model(NodeSpec(), NodeSpec(units=5), between=("tanh",)))
    path, folder = saved(onnx_model, tmp_path), tmp_path / "network"
    assert run_command("import", path, "-o", folder, "--prefix", "rnn1") == 0
    network = archsim.load_network(folder)
    assert network.digest == archsim.from_onnx(path, layer="rnn1").digest
    assert "left outside" in capsys.readouterr().out


@pytest.mark.parametrize("options, message", [
    (["--gate-order", "keras"], "an ONNX operator has its own order"),
    (["--prefix", "rnn0", "--prefix", "rnn1"], "2 prefixes, need the name of one node"),
    (["--cell", "gru"], "cell = 'gru', but rnn0 is none"),
    (["--prefix", "rnn9"], "layer = 'rnn9' is no recurrent node"),
])  # fmt: skip
def test_import_options_that_do_not_fit_a_model_are_refused(options, message, model, tmp_path, capsys):
    assert run_command("import", model[0], "-o", tmp_path / "network", *options) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "network").exists()
