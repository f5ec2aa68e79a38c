"""Fine-tuning of network folders by the script, as a user runs it."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import archsim
from archsim.policies import NoReuse, policy_from

torch = pytest.importorskip("torch")

import finetune_reuse  # noqa: E402

from archsim.finetune.network import TrainableNetwork  # noqa: E402
from archsim.inference.run import run_inference  # noqa: E402

HEADS = {
    "accuracy": '[head]\nkind = "mean-linear"\nweight = "head.weight"\nbias = "head.bias"\n',
    "wer": '[head]\nkind = "ctc"\nweight = "head.weight"\nbias = "head.bias"\nlabels = ["", "up", "down"]\n',
}
MODULES = {
    "lstm": torch.nn.LSTM,
    "gru": torch.nn.GRU,
    "rnn": torch.nn.RNN,
    "rnn-relu": partial(torch.nn.RNN, nonlinearity="relu"),
    "gru-hard-sigmoid-fifth": torch.nn.GRU,  # has the same weights, and computes something else
}
TARGETS = {"accuracy": [0, 1], "wer": ["up", "down"]}


def write_network(folder, *, metric="accuracy", cell="lstm", layers=1, bidirectional=False, words=()):
    """Write a random network of 5 units with a head, whose 4 inputs are frames or words."""
    folder.mkdir()
    torch.manual_seed(2)
    shape = {"input_size": 4, "hidden_size": 5, "num_layers": layers, "bidirectional": bidirectional}
    module = MODULES[cell](**shape)
    tensors = {f"rnn.{name}": weight for name, weight in module.state_dict().items()}
    outputs = {"accuracy": 2, "wer": 3}[metric]
    tensors |= {"head.weight": torch.randn(outputs, 5 * (1 + bidirectional)), "head.bias": torch.zeros(outputs)}
    text = f'name = "mine"\nprovenance = "drawn at random"\nmetric = "{metric}"\n[[stacks]]\nprefix = "rnn."\n'
    text += f'cell = "{cell}"\n' + "".join(f"{key} = {json.dumps(value)}\n" for key, value in shape.items())
    if words:
        tensors["words.weight"] = torch.randn(len(words) + 1, 4)
        (folder / "words.txt").write_text("\n".join(["<unk>", *words]) + "\n")
        text += '[embedding]\nweight = "words.weight"\nvocabulary = "words.txt"\n'
    text += HEADS[metric] + "[thresholds]\nbnn = 0.3\n"
    (folder / "network.toml").write_text(text)
    (folder / "README.md").write_text("about the network as it was")
    save_file({name: t.numpy().astype(np.float16) for name, t in tensors.items()}, folder / "weights.safetensors")
    return folder


def write_trace(path, metric, count=24):
    """Write a trace of slow walks up or down, labelled by direction."""
    rng = np.random.default_rng(3)
    walks = [rng.normal(0.2 - 0.4 * (i % 2), 0.2, (9 + i % 5, 4)).cumsum(0) for i in range(count)]
    archsim.write_trace(archsim.Trace.from_arrays(walks, [TARGETS[metric][i % 2] for i in range(count)]), path)
    return path


@pytest.fixture
def files(tmp_path):
    """Return a folder with a classifier and its training trace."""
    write_network(tmp_path / "net")
    write_trace(tmp_path / "train.npz", "accuracy")
    return tmp_path


def finetune(folder, *arguments, output="tuned", network="net"):
    """Run the script in this process; return its output folder."""
    paths = {"--network": folder / network, "--trace": folder / "train.npz", "--valid": folder / "train.npz"}
    given = [*(part for pair in paths.items() for part in pair), "-o", folder / output, "--batch", 8, *arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["finetune_reuse.py", *map(str, given)])
        finetune_reuse.main()
    return folder / output


def test_finetuned_classifier_has_the_printed_accuracy_and_reuse(files, capsys):
    """The simulator finds the printed figures in the folder that was written."""
    tuned = finetune(
        files, "--policy", "bnn:throttle=off", "--threshold", 0.5, "--epochs", 8, "--lr", 0.03, "--cap", 10
    )
    history = json.loads((tuned / "history.json").read_text())
    assert [entry["epoch"] for entry in history] == list(range(1, 9)) and history[-1]["loss"] < 0.7 * history[0]["loss"]
    network, trace = archsim.load_network(tuned), archsim.load_trace(files / "train.npz")
    runs = [run_inference(network, trace, policy_from(name), 0.5) for name in ("none", "bnn:throttle=off")]
    after = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("after: "))
    reuse = runs[1].activity.neurons_reused() / runs[1].activity.neurons_total
    assert 0.1 < reuse < 1
    assert after == (
        f"after: accuracy {runs[0].metric_value:.2f} without reuse, {runs[1].metric_value:.2f} with bnn:throttle=off "
        f"at θ = 0.5, which reuses {100 * reuse:.1f} %"
    )
    assert f"24 sequences of train (SHA-256 {trace.digest[:12]})" in network.provenance
    assert network.name == "tuned" and network.thresholds == {} and network.scales is None
    assert network.provenance.startswith(
        "mine (drawn at random), fine-tuned by scripts/finetune_reuse.py: bnn:throttle=off"
    )
    before, now = (load_file(folder / "weights.safetensors") for folder in (files / "net", tuned))
    assert {name: array.dtype for name, array in before.items()} == {name: array.dtype for name, array in now.items()}
    assert all(not np.array_equal(before[name], now[name]) for name in before)
    assert {path.name for path in tuned.iterdir()} == {
        "network.toml",
        "weights.safetensors",
        "checkpoint.pt",
        "history.json",
    }


def test_finetuned_ctc_network_has_measured_scales(tmp_path):
    """Two bidirectional GRU layers, scales measured on the training trace, a term for steadiness."""
    write_network(tmp_path / "net", metric="wer", cell="gru", layers=2, bidirectional=True)
    write_trace(tmp_path / "train.npz", "wer")
    tuned = finetune(tmp_path, "--policy", "lowbit:bits=4", "--threshold", 0.5, "--epochs", 2, "--steady", 0.5)
    history = json.loads((tuned / "history.json").read_text())
    assert 0 < history[0]["unsteadiness"] < 1
    network = archsim.load_network(tuned)
    assert network.scales is not None and len(network.scales.inputs) == 2
    assert (
        archsim.simulate(network, tmp_path / "train.npz", policy="lowbit:bits=4", threshold=0.5).record["metric"]
        == "wer"
    )


def test_embedding_is_trained_and_vocabulary_copied(tmp_path):
    write_network(tmp_path / "net", words=["good", "bad"])
    archsim.write_trace(
        archsim.Trace.from_texts(["good good bad", "bad good", "bad"], [1, 0, 0]), tmp_path / "train.npz"
    )
    tuned = finetune(tmp_path, "--threshold", 0.5, "--epochs", 4, "--lr", 0.05)
    assert (tuned / "words.txt").read_text() == (tmp_path / "net" / "words.txt").read_text()
    before, now = (load_file(folder / "weights.safetensors") for folder in (tmp_path / "net", tuned))
    assert not np.array_equal(before["words.weight"], now["words.weight"])


def test_resumed_run_ends_in_the_bytes_of_an_uninterrupted_one(files, monkeypatch):
    """Before the end there is nothing but a checkpoint and the history."""
    options = ("--threshold", 0.5, "--epochs", 3, "--cap", 6)
    whole = finetune(files, *options, output="tuned")
    save = finetune_reuse.Trainer.save

    def stop(trainer):
        save(trainer)
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune_reuse.Trainer, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        finetune(files, *options, output="more/tuned")
    monkeypatch.undo()
    assert {path.name for path in (files / "more" / "tuned").iterdir()} == {"checkpoint.pt", "history.json"}
    with pytest.raises(archsim.ArchsimError, match="made with epochs = 3, not 4"):
        finetune(files, "--threshold", 0.5, "--epochs", 4, "--cap", 6, "--resume", output="more/tuned")
    resumed = finetune(files, *options, "--resume", output="more/tuned")
    for name in ("weights.safetensors", "network.toml"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "rnn-relu"])
def test_network_survives_conversion_to_torch_and_back(cell, tmp_path):
    """Weights, outputs and answers stay the same."""
    folder = write_network(tmp_path / "net", cell=cell, layers=2, bidirectional=True)
    model, source = TrainableNetwork(folder, policy="none", threshold=0.0), archsim.load_network(folder)
    assert model.network().digest == source.digest
    stored = load_file(folder / "weights.safetensors")
    assert all(np.array_equal(stored[name], tensor.numpy()) for name, tensor in model.tensors().items())
    trace = archsim.load_trace(write_trace(tmp_path / "train.npz", "accuracy"))
    examples, right = model.examples(trace), run_inference(source, trace, NoReuse()).metric_value
    losses = [float(model([example]).task.detach()) for example in examples]
    assert 100 * np.mean(np.array(losses) < np.log(2)) == pytest.approx(right)


@pytest.mark.parametrize("arguments, message", [
    (("--threshold", -1), "threshold = -1.0: need a number >= 0"),
    (("--threshold", 1, "--policy", "bnm"), "did you mean 'bnn'"),
    (("--threshold", 1, "--epochs", 0), "epochs = 0: need a finite number > 0"),
    (("--threshold", 1, "--lr", "inf"), "lr = inf: need a finite number > 0"),
    (("--threshold", 1, "--seed", -1), "seed = -1: need a number from 0"),
    (("--threshold", 1, "--ramp", 1.5), "ramp = 1.5: need a number from 0 to 1"),
    (("--threshold", 1, "--precision", "fp8"), "accepted: fp16, fp32"),
    (("--threshold", 1, "--resume"), "nothing to resume"),
    (("--threshold", 1, "-o", "net"), "is the network itself"),
    (("--threshold", 1, "-o", "train.npz"), "is a file"),
    (("--threshold", 1, "--network", "mnmt-lstm"), "head of kind 'attention-decoder'"),
    (("--threshold", 1, "--network", "nett"), "unknown network"),
    (("--threshold", 1, "--network", "hard"), "archsim.finetune has no gradient for cell 'gru-hard-sigmoid-fifth'"),
    (("--threshold", 1, "--valid", "bare.npz"), "has no targets"),
    (("--threshold", 1, "--trace", "said.npz"), "needs a class number"),
    (("--threshold", 1, "--network", "ctc", "--trace", "said.npz"), "says 'left', the network knows up, down"),
    (("--threshold", 1, "--network", "ctc", "--cap", 5), "need cap = 0"),
])  # fmt: skip
def test_invalid_input_is_refused_and_writes_nothing(files, arguments, message, monkeypatch):
    monkeypatch.chdir(files)
    write_network(files / "ctc", metric="wer")
    write_network(files / "hard", cell="gru-hard-sigmoid-fifth")
    frames = [np.zeros((5, 4))] * 2
    archsim.write_trace(archsim.Trace.from_arrays(frames), files / "bare.npz")
    archsim.write_trace(archsim.Trace.from_arrays(frames, ["up left", "down"]), files / "said.npz")
    there = sorted(files.rglob("*"))
    with pytest.raises(archsim.ArchsimError, match=message):
        finetune(files, *arguments)
    assert sorted(files.rglob("*")) == there


def test_script_exits_with_0_or_with_2_and_one_line(files):
    """Exit codes, and one line where the input is at fault."""
    script = Path(__file__).parents[2] / "scripts" / "finetune_reuse.py"
    common = [sys.executable, script, "--network", "net", "--trace", "train.npz", "--valid", "train.npz", "-o", "tuned"]
    command = [*common, "--threshold", "0.5", "--epochs", "2", "--batch", "8"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=files, check=False)
    assert done.returncode == 0 and "after: accuracy" in done.stdout and "epoch 2: loss" in done.stderr, done.stderr
    wrong = [*common, "--threshold", "nan"]
    done = subprocess.run(wrong, capture_output=True, text=True, cwd=files, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "threshold = nan" in done.stderr
