"""Files of weights as other people write them, as network folders; what they leave out and refuse."""

import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from harness import make_network
from safetensors.numpy import save_file

import archsim
from archsim.cli.exit import exit_code
from archsim.cli.main import archsim as command_line
from archsim.errors import NetworkError
from archsim.importers.files import import_file
from archsim.importers.weight_files import import_weights
from archsim.inference.run import run_inference
from archsim.ir.saving import save_network
from archsim.policies import NoReuse

torch = pytest.importorskip("torch")
from harness_torch import KINDS  # noqa: E402


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def outputs_of(network, x):
    return run_inference(network, archsim.Trace.from_arrays([x]), NoReuse(), precision="fp32").outputs[0]


def model_of(kind="LSTM", **options):
    """A model whose recurrent part is one of three."""
    torch.manual_seed(1)
    rnn = KINDS[kind](6, 5, 2, bidirectional=True, **options)
    parts = {"conv": torch.nn.Conv1d(2, 6, 3), "rnn": rnn, "out": torch.nn.Linear(10, 2)}
    return torch.nn.ModuleDict(parts)


def write(path, tensors):
    arrays = {name: tensor.numpy() if hasattr(tensor, "numpy") else tensor for name, tensor in tensors.items()}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        save_file(arrays, path)
    else:
        torch.save({"epoch": 7, "state": {n: torch.from_numpy(a) for n, a in arrays.items()}}, path)
    return path


def own_outputs(module, x):
    with torch.no_grad():
        return module(torch.from_numpy(x))[0].numpy()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".npz"])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_part_of_a_models_file_equals_torch(kind, suffix, tmp_path):
    model, x = model_of(kind), drawn(9, 6)
    path = write(tmp_path / f"model{suffix}", model.state_dict())
    imported = import_file(path, cell="rnn-relu" if kind == "RNN with ReLU" else None)
    folder = save_network(imported.network, tmp_path / "net")
    network = archsim.load_network(folder)
    np.testing.assert_allclose(outputs_of(network, x), own_outputs(model["rnn"], x), atol=1e-5)
    assert network.name == "model" and network.digest == imported.network.digest
    assert network.digest == archsim.from_torch(model["rnn"]).digest
    outcomes = {row.part.removeprefix("state."): row.outcome for row in imported.table.rows}
    assert outcomes == {"rnn": "simulated here", "conv": "left outside", "out": "left outside"}


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
@pytest.mark.parametrize("bias", [True, False])
def test_tensors_of_a_cell_are_a_layer(kind, bias, tmp_path):
    cell, x = getattr(torch.nn, kind)(3, 4, bias=bias), drawn(6, 3)
    path = write(tmp_path / "cell.npz", {f"decoder.cell.{name}": t for name, t in cell.state_dict().items()})
    layer = getattr(torch.nn, kind.removesuffix("Cell"))(3, 4, bias=bias)
    layer.load_state_dict({f"{name}_l0": t for name, t in cell.state_dict().items()})
    np.testing.assert_allclose(outputs_of(import_weights(path).network, x), own_outputs(layer, x), atol=1e-5)


def test_half_and_double_weights_are_read(tmp_path):
    state = model_of().state_dict()
    expected = import_weights(write(tmp_path / "a.npz", state)).network
    double = import_weights(write(tmp_path / "b.npz", {n: t.double() for n, t in state.items()})).network
    assert double.digest == expected.digest
    torch.save({n: t.bfloat16() for n, t in state.items()}, tmp_path / "c.pt")
    assert outputs_of(import_weights(tmp_path / "c.pt").network, drawn(3, 6)).shape == (3, 10)


def keras_layer(prefix, inputs, units, gates, seed=0):
    kernel, recurrent = drawn(inputs, gates * units, seed=seed), drawn(units, gates * units, seed=seed + 1)
    return {
        f"{prefix}/kernel:0": kernel,
        f"{prefix}/recurrent_kernel:0": recurrent,
        f"{prefix}/bias:0": drawn(*((2,) if gates == 3 else ()), gates * units, seed=seed + 2),
    }


def test_layers_of_keras_are_stacked_by_their_prefixes(tmp_path):
    layers = [keras_layer("gru/gru_cell", 3, 4, 3), keras_layer("gru_1/gru_cell", 4, 5, 3, seed=5)]
    dense = {"dense/kernel:0": drawn(5, 2), "dense/bias:0": drawn(2)}
    path = write(tmp_path / "keras.npz", layers[0] | layers[1] | dense)
    prefixes = ["gru/gru_cell", "gru_1/gru_cell"]
    imported = import_weights(path, prefixes=prefixes, name="mine")
    arrays = [list(layer.values()) for layer in layers]
    by_hand = archsim.Network.from_weights(
        "gru",
        weight_ih=[a[0] for a in arrays],
        weight_hh=[a[1] for a in arrays],
        bias=[a[2] for a in arrays],
        gate_order="keras",
    )
    assert imported.network.digest == by_hand.digest and imported.network.name == "mine"
    assert [row.part for row in imported.table.rows if row.outcome == "left outside"] == ["dense"]
    assert archsim.load_network(save_network(imported.network, tmp_path / "net")).digest == by_hand.digest
    with pytest.raises(
        NetworkError, match=r"several recurrent parts.*gru/gru_cell \(gru, 1 layer, 3 inputs, 4 units\)"
    ):
        import_weights(path)


@pytest.mark.parametrize("gates, cell, named", [
    (1, None, "rnn"), (1, "rnn-relu", "rnn-relu"), (3, "gru-hard-sigmoid-fifth", "gru-hard-sigmoid-fifth"),
    (4, "lstm-hard-sigmoid-sixth", "lstm-hard-sigmoid-sixth"),
])  # fmt: skip
def test_cell_of_a_keras_layer_is_the_one_that_is_asked_for(gates, cell, named, tmp_path):
    path = write(tmp_path / "keras.npz", keras_layer("layer/cell", 3, 4, gates))
    imported = import_weights(path, cell=cell)
    assert imported.network.layers[0].cell.name == named
    assert imported.table.simulated[0].note == f"{named}, 1 layer, 3 inputs, 4 units"


def test_file_of_a_saved_network_with_peepholes_is_read_with_them(tmp_path):
    network = make_network("lstm-peepholes", inputs=3, units=4, layers=2, bidirectional=True)
    path = save_network(network, tmp_path / "net") / "weights.safetensors"
    assert import_weights(path).network.digest == network.digest
    hard = import_weights(path, cell="lstm-peepholes-hard-sigmoid-fifth").network
    assert hard.layers[0].cell.name == "lstm-peepholes-hard-sigmoid-fifth"
    with pytest.raises(NetworkError, match="has 4 gates with peepholes, those of a lstm-peepholes; cell = 'lstm'"):
        import_weights(path, cell="lstm")


def test_directions_of_keras_are_one_layer(tmp_path):
    sides = [
        keras_layer(f"bidirectional/{side}_lstm/lstm_cell", 3, 4, 4, seed=i)
        for i, side in enumerate(("forward", "backward"))
    ]
    network = import_weights(write(tmp_path / "keras.npz", sides[1] | sides[0])).network
    assert [d.reverse for d in network.layers[0].directions] == [False, True]
    np.testing.assert_array_equal(
        network.layers[0].directions[1].weight_ih, sides[1]["bidirectional/backward_lstm/lstm_cell/kernel:0"].T
    )


def test_prefix_may_leave_out_what_a_checkpoint_nests_it_in(tmp_path):
    state = {f"module.{part}.{n}": t for part in ("a.rnn", "b.rnn") for n, t in torch.nn.GRU(3, 4).state_dict().items()}
    path = write(tmp_path / "checkpoint.pt", state)
    assert [row.part for row in import_weights(path, prefixes=["a.rnn"]).table.simulated] == ["state.module.a.rnn"]
    with pytest.raises(NetworkError, match="several recurrent parts have the prefix 'rnn'; found: state.module.a.rnn"):
        import_weights(path, prefixes=["rnn"])


def test_prefix_may_leave_out_the_cell_that_keras_puts_into_a_layer(tmp_path):
    state = keras_layer("lstm/lstm_cell", 3, 4, 4) | keras_layer("gru_1/gru_cell", 4, 5, 3)
    path = write(tmp_path / "keras.npz", state)
    table = import_weights(path, prefixes=["lstm", "gru_1"]).table
    assert [row.part for row in table.simulated] == ["lstm/lstm_cell", "gru_1/gru_cell"]
    with pytest.raises(NetworkError, match="no recurrent part has the prefix 'gru'; found: lstm/lstm_cell"):
        import_weights(path, prefixes=["gru"])


def test_prefix_that_begins_two_parts_is_refused(tmp_path):
    state = {f"encoder.{part}.{n}": t for part in ("a", "b") for n, t in LSTM.items()}
    path = write(tmp_path / "model.npz", state)
    with pytest.raises(NetworkError, match="several recurrent parts have the prefix 'encoder'; found: encoder.a"):
        import_weights(path, prefixes=["encoder"])


def renamed(state, changes):
    return {changes.get(name, name): tensor for name, tensor in state.items() if changes.get(name, name)}


LSTM = torch.nn.LSTM(3, 4).state_dict()


@pytest.mark.parametrize("tensors, options, message", [
    ({"lstm.w": drawn(16, 3), "lstm.r": drawn(16, 4)}, {}, r"no tensor has the name.*Wanted: NAME.weight_ih_l0.*Found: lstm.w \(16, 3\), lstm.r \(16, 4\)"),
    ({f"t{i}": drawn(1) for i in range(50)}, {}, "t39 .1,. and 10 more. Arrays of other names go through archsim.Network.from_weights"),
    ({}, {}, "Found: no tensors"),
    ({f"{p}.{n}": t for p in ("enc", "dec") for n, t in LSTM.items()}, {}, r"several recurrent parts: choose by prefix \(--prefix\). Found: enc \(lstm, 1 layer, 3 inputs, 4 units\); dec"),
    (LSTM, {"prefixes": ["rnn"]}, "no recurrent part has the prefix 'rnn'; found: '' .lstm"),
    (LSTM, {"cell": "gru"}, "has 4 gates, those of a lstm; cell = 'gru' was asked for"),
    (LSTM, {"cell": "rnnn"}, "cell 'rnnn' is not supported, did you mean 'rnn'"),
    (LSTM, {"cell": "rnn"}, "has 4 gates, those of a lstm; cell = 'rnn' was asked for"),
    (LSTM, {"cell": "lstm-peepholes"}, "has 4 gates, those of a lstm; cell = 'lstm-peepholes' was asked for"),
    (LSTM, {"gate_order": "tf"}, "gate_order = 'tf'; accepted: torch, onnx, keras"),
    (LSTM, {"gate_order": "keras"}, "that shape suits gate_order 'torch' or 'onnx'"),
    (renamed(LSTM, {"weight_hh_l0": ""}), {}, "layer 0, forward has no weight_hh"),
    (renamed(LSTM, {"bias_hh_l0": ""}), {}, "has bias_ih without its partner"),
    (renamed(LSTM, {n: n.replace("l0", "l1") for n in LSTM}), {}, "layer 0, forward has no weight_ih and no weight_hh"),
    (renamed(LSTM, {n: n.replace("l0", "l999999999") for n in LSTM}), {}, "layer 0, forward has no weight_ih"),
    (renamed(LSTM, {"weight_hh_l0": "weight_hh_l0_orig"}), {}, "weight_hh_l0_orig are made into weights by a parametrisation.*from_torch"),
    (LSTM | {"parametrizations.weight_hh_l0.original0": drawn(1)}, {}, "by a parametrisation"),
    ({k: v for k, v in torch.nn.LSTM(3, 4, 2, proj_size=2).state_dict().items() if k != "weight_hr_l1"}, {},
     "layer 1, forward differs from the first layer in having a projection, weight_hr"),
    (torch.nn.RNN(3, 4).state_dict(), {"cell": "lstm"}, "has 1 gate, those of a rnn; cell = 'lstm' was asked for"),
    ({**torch.nn.GRU(3, 4).state_dict(), "peepholes_l0": torch.ones(12)}, {}, "it has peepholes and 3 gates: only an LSTM"),
    ({**torch.nn.GRU(3, 4).state_dict(), "weight_hr_l0": torch.ones(2, 4)}, {}, "it has a projection and 3 gates: only an LSTM"),
    (torch.nn.LSTM(3, 4, 2).state_dict() | {"peepholes_l0": torch.ones(12)}, {}, "layer 1, forward has no peepholes"),
    (LSTM | {"weight_hh_l0": drawn(20, 4)}, {}, r"its weights of h have shape \(20, 4\): those of an LSTM are"),
    (LSTM | {"weight_hh_l0": np.full((16, 4), np.nan, np.float32)}, {}, "weight_hh holds NaN"),
    (LSTM | {"weight_ih_l0": np.full((16, 3), 1e300)}, {}, "holds 1e.300, which float32 cannot hold"),
    (LSTM | {"weight_ih_l0": np.ones((16, 3), np.int64)}, {}, "'weight_ih_l0' is int64, need floating point"),
    (LSTM | {"weight_ih_l0": np.array(["x"])}, {}, "weight_ih_l0 is of type <U1"),
])  # fmt: skip
def test_file_without_one_clear_network_is_refused(tensors, options, message, tmp_path):
    path = write(tmp_path / "model.npz", tensors)
    with pytest.raises(NetworkError, match=message):
        import_weights(path, **options)


def test_table_of_a_safetensors_file_is_in_order_of_names(tmp_path):
    tensors = {f"rnn.weight_{part}_l0": np.zeros((8, 2), np.float32) for part in ("ih", "hh")}
    tensors |= {f"m{i}.weight": np.zeros(2, np.float32) for i in range(8)}
    save_file(tensors, tmp_path / "model.safetensors")
    outside = [row.part for row in import_file(tmp_path / "model.safetensors").table.rows if row.kind == "tensors"]
    assert outside == [f"m{i}" for i in range(8)]


def test_refused_part_beside_a_good_one_is_in_the_table(tmp_path):
    projected_gru = torch.nn.GRU(3, 4).state_dict() | {"weight_hr_l0": torch.ones(2, 4)}
    state = {f"good.{n}": t for n, t in LSTM.items()} | {f"bad.{n}": t for n, t in projected_gru.items()}
    table = import_weights(write(tmp_path / "both.safetensors", state)).table
    assert [row.part for row in table.simulated] == ["good"]
    assert [(row.part, row.note) for row in table.refused] == [
        ("bad", "it has a projection and 3 gates: only an LSTM has both")
    ]


@pytest.mark.parametrize("name, content, message", [
    ("model.h5", b"", "unknown suffix '.h5'; accepted: .safetensors, .npz, .pt.*np.savez.'weights.npz'"),
    ("model.keras", b"", "unknown suffix '.keras'; accepted: .safetensors.*w.path: w.numpy"),
    ("model.txt", b"", "unknown suffix '.txt'; accepted: .safetensors, .npz, .pt, .pth, .bin, .ckpt, .onnx$"),
    ("model.jit", b"", "TorchScript module goes through torch.jit.load"),
    ("model.onnx", b"", "model.onnx"),
    ("model.pt", b"hello", "not a readable torch file"),
    ("model.safetensors", b"hello", "not a readable safetensors file"),
    ("model.npz", b"hello", "not a whole .npz file"),
    ("absent.pt", None, "no such file"),
])  # fmt: skip
def test_unreadable_file_is_refused(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(NetworkError, match=message):
        import_file(tmp_path / name)


def test_pickled_objects_and_scripts_are_never_loaded(tmp_path):
    torch.save(torch.nn.LSTM(3, 4), tmp_path / "module.pt")
    with pytest.raises(
        NetworkError, match=r"pickled objects other than tensors, which are never loaded: save model.state_dict"
    ):
        import_file(tmp_path / "module.pt")
    script = "import torch, sys; torch.jit.script(torch.nn.LSTM(3, 4)).save(sys.argv[1])"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "script.pt")], check=True)
    with pytest.raises(NetworkError, match=r"TorchScript archive, which holds code.*torch.jit.load"):
        import_file(tmp_path / "script.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(NetworkError, match="holds a list without tensors, need a state dict"):
        import_file(tmp_path / "list.pt")


# The command


def called(*arguments):
    """Exit code and output of the command, whose errors are those of the command line."""
    result = CliRunner().invoke(command_line, ["import", *map(str, arguments)])
    return result


@pytest.fixture
def files(tmp_path):
    """An LSTM's file, inputs and outputs in two forms, and the folder to write."""
    model = model_of()
    x = drawn(2, 7, 6)
    y = np.stack([own_outputs(model["rnn"], one) for one in x])
    write(tmp_path / "model.safetensors", model.state_dict())
    np.savez(tmp_path / "x.npz", batch=x, one=x[0])
    np.savez(tmp_path / "y.npz", one=y[0], batch=y)
    return tmp_path


def test_import_checks_outputs_and_writes_a_folder_that_runs(files):
    done = called(files / "model.safetensors", "-o", files / "net", "--check", files / "x.npz", files / "y.npz")
    assert done.exit_code == 0, done.output
    assert "check passed: largest difference" in done.output and "left outside" in done.output
    assert sorted(path.name for path in (files / "net").iterdir()) == ["network.toml", "weights.safetensors"]
    trace = archsim.Trace.from_arrays([drawn(4, 6)])
    assert archsim.simulate(archsim.load_network(files / "net"), trace, threshold=0.1).record["steps"] == 4


def test_network_is_named_after_its_folder_unless_a_name_is_given(files):
    for options, name in (([], "net"), (["--name", "mine"], "mine")):
        folder = files / name / "net"
        folder.parent.mkdir()
        assert called(files / "model.safetensors", "-o", folder, *options).exit_code == 0
        assert archsim.load_network(folder).name == name


def test_show_lists_the_parts_of_a_file_of_weights(tmp_path):
    state = {f"{part}.{n}": t for part in ("enc", "dec") for n, t in LSTM.items()} | {"out.weight": drawn(2, 4)}
    path = write(tmp_path / "model.safetensors", state)
    done = CliRunner().invoke(command_line, ["show", str(path)])
    assert done.exit_code == 0 and done.output.count("simulated here") == 2 and "out" in done.output
    write(path, {"out.weight": drawn(2, 4)})
    assert exit_code(lambda: command_line(["show", str(path)], standalone_mode=False)) == 2


def test_wrong_gate_order_is_found_by_the_check_and_nothing_is_written(files, capsys):
    model = files / "model.safetensors"
    options = ["import", str(model), "-o", str(files / "net"), "--check", str(files / "x.npz"), str(files / "y.npz")]
    code = exit_code(lambda: command_line([*options, "--gate-order", "onnx"], standalone_mode=False))
    said = capsys.readouterr().err
    assert code == 2 and not (files / "net").exists()
    assert (
        "check failed: largest difference" in said and "Gate order torch fits" in said and "--gate-order torch" in said
    )


def test_cell_that_shapes_do_not_tell_is_found_by_the_check(files, capsys):
    model, x = model_of("RNN with ReLU"), drawn(7, 6)
    path = write(files / "relu.npz", model.state_dict())
    np.savez(files / "x.npz", x)
    np.savez(files / "y.npz", own_outputs(model["rnn"], x))
    options = ["import", str(path), "-o", str(files / "net"), "--check", str(files / "x.npz"), str(files / "y.npz")]
    code = exit_code(lambda: command_line(options, standalone_mode=False))
    said = capsys.readouterr().err
    assert code == 2 and not (files / "net").exists()
    assert "Cell rnn-relu fits: largest difference" in said and said.rstrip().endswith("--cell rnn-relu")
    done = called(*options[1:], "--cell", "rnn-relu")
    assert done.exit_code == 0 and archsim.load_network(files / "net").layers[0].cell.name == "rnn-relu"


def test_outputs_of_something_else_fail_the_check(files, capsys):
    np.savez(files / "y.npz", drawn(2, 7, 10), drawn(7, 10))
    options = ["import", str(files / "model.safetensors"), "-o", str(files / "net")]
    code = exit_code(
        lambda: command_line([*options, "--check", str(files / "x.npz"), str(files / "y.npz")], standalone_mode=False)
    )
    assert code == 2 and "No other gate order and no other cell fits (onnx" in capsys.readouterr().err


@pytest.mark.parametrize("x, y, message", [
    ([drawn(7, 6)], [drawn(7, 10), drawn(7, 10)], "has 1 arrays, .* 2: need one array of outputs per array of x"),
    ([drawn(7, 6)], [drawn(1, 10)], r"arr_0 has shape \(7, 6\), .* \(1, 10\): need the outputs of every step"),
    ([drawn(7, 6)], [drawn(7, 5)], "gives 10 outputs per step, the outputs to check have 5"),
    ([drawn(7, 5)], [drawn(7, 10)], "has 5 inputs per step, net takes 6"),
    ([drawn(7)], [drawn(7)], r"arr_0 has shape \(7,\), need \(T, features\) or \(B, T, features\)"),
    ([np.full((7, 6), np.nan)], [drawn(7, 10)], "arr_0 holds NaN"),
    ([], [], "holds no arrays"),
])  # fmt: skip
def test_files_that_cannot_be_compared_are_refused(x, y, message, files):
    np.savez(files / "x.npz", *x)
    np.savez(files / "y.npz", *y)
    done = called(files / "model.safetensors", "-o", files / "net", "--check", files / "x.npz", files / "y.npz")
    with pytest.raises(archsim.ArchsimError, match=message):
        raise done.exception
    assert not (files / "net").exists()


def test_folder_with_content_is_not_overwritten(files):
    (files / "net").mkdir()
    (files / "net" / "notes.txt").write_text("mine", "utf-8")
    done = called(files / "model.safetensors", "-o", files / "net")
    with pytest.raises(archsim.ArchsimError, match="the folder is not empty; name a new one"):
        raise done.exception
    assert [path.name for path in (files / "net").iterdir()] == ["notes.txt"]
    (files / "net" / "notes.txt").unlink()
    assert called(files / "model.safetensors", "-o", files / "net").exit_code == 0


@pytest.mark.parametrize("name", ["imdb-lstm", "ds2-gru", "eesen-bilstm"])
def test_bundled_network_is_the_same_after_it_is_written(name, tmp_path):
    network = archsim.load_network(name)
    again = archsim.load_network(save_network(network, tmp_path / "net"))
    assert again.digest == network.digest and again.thresholds == network.thresholds
    assert again.scales == network.scales and again.provenance == network.provenance


def test_network_with_subwords_is_not_written_without_them(tmp_path):
    with pytest.raises(NetworkError, match="has subwords, whose model is not kept in it: name its folder instead"):
        save_network(archsim.load_network("mnmt-lstm"), tmp_path / "net")
    assert not list(tmp_path.iterdir())
