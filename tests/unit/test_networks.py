"""Network folders that load, and folders that are refused with a reason."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import archsim
from archsim.calibration import calibrate_threshold
from archsim.ir.folder import read_manifest
from archsim.ir.saving import save_calibration
from archsim.ir.text import Vocabulary, tokenize

MANIFEST = """
name = "small"
metric = "accuracy"
[[stacks]]
prefix = "rnn."
cell = "gru"
input_size = 3
hidden_size = 4
bidirectional = true
[embedding]
weight = "embedding"
vocabulary = "vocab.txt"
[head]
kind = "mean-linear"
weight = "head.weight"
bias = "head.bias"
[thresholds]
bnn = 0.25
"""


def weights():
    rng = np.random.default_rng(0)
    shapes = {"embedding": (3, 3), "head.weight": (2, 8), "head.bias": (2,)}
    for side in ("", "_reverse"):
        shapes |= {f"rnn.weight_ih_l0{side}": (12, 3), f"rnn.weight_hh_l0{side}": (12, 4)}
        shapes |= {f"rnn.bias_ih_l0{side}": (12,), f"rnn.bias_hh_l0{side}": (12,)}
    return {name: rng.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}


def folder_with(path, manifest=MANIFEST, vocabulary="<unk>\ngood\nbad\n", **changes):
    (path / "network.toml").write_text(manifest, "utf-8")
    (path / "vocab.txt").write_bytes(vocabulary if isinstance(vocabulary, bytes) else vocabulary.encode())
    tensors = weights() | {name.replace("__", "."): value for name, value in changes.items()}
    tensors = {name: value for name, value in tensors.items() if value is not None}
    save_file(tensors, path / "weights.safetensors")
    return path


def test_network_folder_runs_from_text_to_accuracy(tmp_path):
    """Half-precision weights, vocabulary, embedding, two directions, head, calibrated threshold."""
    network = archsim.load_network(folder_with(tmp_path))
    trace = archsim.Trace.from_texts(["Good, good!", "unheard-of bad"], [1, 0])
    record = archsim.simulate(network, trace).record
    assert record["threshold"] == 0.25 and record["metric"] == "accuracy"
    assert record["steps"] == 4 + 4 and record["metric_value"] in (0.0, 50.0, 100.0)
    assert record["metric_loss"] == record["metric_baseline"] - record["metric_value"]


def test_tokenizer_splits_words_marks_and_unknowns():
    assert tokenize("Don't <br />PANIC!") == ["don't", "panic", "!"]
    assert Vocabulary(["<unk>", "panic"]).encode("don't panic").tolist() == [0, 1]


@pytest.mark.parametrize("change, message", [
    ({"manifest": MANIFEST.replace("hidden_size", "hiden_size")}, "unknown key 'stacks.0.hiden_size', did you mean 'hidden_size'"),
    ({"manifest": MANIFEST.replace("input_size = 3", "input_size = -3")}, "stacks.0.input_size = -3: input should be greater"),
    ({"manifest": MANIFEST.replace('name = "small"', "")}, "key 'name' is missing"),
    ({"manifest": MANIFEST.replace('"gru"', '"GRU"')}, "network.toml: stacks.0.cell = 'GRU': not supported, did you mean 'gru'"),
    ({"manifest": MANIFEST.replace("[[stacks]]", "[stacks]")}, r"stacks is a dict: need a list of tables, each written \[\[stacks\]\]"),
    ({"manifest": MANIFEST.split("[head]")[0]}, "metric 'accuracy' needs a head|not in network.toml"),
    ({"manifest": MANIFEST.replace("input_size = 3", 'input_size = "3"')}, "stacks.0.input_size = '3': input should be a valid integer"),
    ({"manifest": "name = "}, "not TOML"),
    ({"manifest": MANIFEST.replace("hidden_size = 4", "hidden_size = 5")}, "weights are for .inputs, units. = .3, 4., need .3, 5."),
    ({"manifest": MANIFEST.replace("vocab.txt", "../vocab.txt")}, "no such file in the folder"),
    ({"vocabulary": "<unk>\ngood\n"}, "2 entries, the embedding has 3 rows"),
    ({"vocabulary": "good\nbad\nugly\n"}, "first entry is 'good', need '<unk>'"),
    ({"rnn__weight_hh_l0": None}, "weight_hh is missing"),
    ({"rnn__weight_hh_l0": np.full((12, 4), np.nan, np.float16)}, "weight_hh holds NaN"),
    ({"rnn__weight_ih_l0": np.zeros((11, 3), np.float16)}, r"weight_ih has shape \(11, 3\), need \(12, I\)"),
    ({"rnn__bias_ih_l0": np.zeros(3, np.float16)}, r"bias_ih has shape \(3,\), need \(12,\)"),
    ({"head__weight": np.zeros((2, 7), np.float16)}, r"head has weight \(2, 7\) and bias \(2,\), need \(outputs, 8\)"),
    ({"head__bias": np.zeros((2, 1), np.float16)}, r"and bias \(2, 1\), need"),
    ({"rnn__weight_ih_l1": np.zeros((12, 8), np.float16)}, "rnn.weight_ih_l1 are not in network.toml: more layers"),
    *(({"manifest": MANIFEST.replace("0.25", text)}, f"thresholds.bnn = {text}: need a number >= 0, or lists of them")
      for text in ("-0.25", "nan", "inf", "'x'")),
    ({"manifest": MANIFEST.replace("0.25", "9" * 400)}, "thresholds.bnn is a whole number of 1329 bits, need at most 63"),
    *(({"manifest": MANIFEST.replace("0.25", text)}, f"thresholds.bnn = {said}.*: need a number >= 0, or lists of them")
      for text, said in (("true", "True"), ("[]", r"\[\]"), ("[0.1, [0.2, -1]]", r"\[0.1, \[0.2, -1\]\]"))),
    ({"vocabulary": b"\xff\xfe"}, r"vocab.txt: not UTF-8 \(invalid start byte at byte 0\), need a word per line"),
    ({"embedding": None}, "tensor 'embedding' is missing; present: head.bias"),
])  # fmt: skip
def test_broken_network_folder_is_refused(change, message, tmp_path):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.load_network(folder_with(tmp_path, **change))


def test_truncated_weights_are_refused(tmp_path):
    path = folder_with(tmp_path) / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(archsim.ArchsimError, match="not a readable safetensors file"):
        archsim.load_network(tmp_path)


def test_unknown_network_name_or_folder_is_refused(tmp_path):
    with pytest.raises(archsim.ArchsimError, match="unknown network 'nothing'"):
        archsim.load_network("nothing")
    with pytest.raises(archsim.ArchsimError, match=r"network.toml does not exist"):
        archsim.load_network(tmp_path)


@pytest.mark.parametrize("trace, message", [
    (archsim.Trace.from_arrays([np.zeros((2, 5), np.float32)]), "has 5 inputs per step, small takes 3"),
    (archsim.Trace.from_arrays([np.array([0, 3])]), "token id 3 is outside the embedding, need 0 to 2"),
    (archsim.Trace.from_arrays([np.full((1, 3), 1e6, np.float32)]), "binary16 ends at 65504"),
])  # fmt: skip
def test_trace_that_does_not_fit_the_network_is_refused(trace, message, tmp_path):
    network = archsim.load_network(folder_with(tmp_path))
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.simulate(network, trace)


def test_target_outside_the_classes_is_refused(tmp_path):
    network = archsim.load_network(folder_with(tmp_path))
    with pytest.raises(archsim.ArchsimError, match="target 2 of sequence 1, need 0 to 1"):
        archsim.simulate(network, archsim.Trace.from_texts(["good", "bad"], [0, 2]))


def test_weights_beyond_binary16_are_refused(tmp_path):
    big = np.full((12, 3), 1e5, np.float32)
    network = archsim.load_network(folder_with(tmp_path, rnn__weight_ih_l0=big))
    with pytest.raises(archsim.ArchsimError, match="weight_ih holds 100000, binary16 ends at 65504"):
        archsim.simulate(network, archsim.Trace.from_texts(["good"]))


@pytest.mark.parametrize("network, trace, message", [
    ("module", "trace", "network is a Thing: need a name, a path, or an archsim Network"),
    ("network", "arrays", "trace is a list: need a name, a path, or an archsim Trace"),
])  # fmt: skip
def test_network_or_trace_of_a_wrong_type_is_refused(network, trace, message, tiny_lstm, tiny_trace):
    class Thing:
        pass

    given = {"module": Thing(), "network": tiny_lstm, "trace": tiny_trace, "arrays": [np.zeros((2, 5))]}
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.simulate(given[network], given[trace], threshold=0.1)


def test_text_for_a_network_without_vocabulary_is_refused(tiny_lstm):
    with pytest.raises(archsim.ArchsimError, match="has no vocabulary: it takes frames of 5 numbers"):
        archsim.simulate(tiny_lstm, archsim.Trace.from_texts(["hello"]), threshold=0.1)


CTC = """
name = "words"
metric = "wer"
frontend = "stacked-spectrogram"
[[stacks]]
prefix = "rnn."
cell = "gru"
input_size = 162
hidden_size = 4
[head]
kind = "ctc"
weight = "head.weight"
bias = "head.bias"
labels = ["", "yes", "no"]
"""


def ctc_folder(path, manifest=CTC):
    rng = np.random.default_rng(0)
    shapes = {"head.weight": (3, 4), "head.bias": (3,), "rnn.weight_ih_l0": (12, 162), "rnn.weight_hh_l0": (12, 4)}
    save_file({n: rng.standard_normal(s).astype(np.float16) for n, s in shapes.items()}, path / "weights.safetensors")
    (path / "network.toml").write_text(manifest, "utf-8")
    return path


def test_audio_runs_to_transcripts_and_word_error_rate(tmp_path):
    network = archsim.load_network(ctc_folder(tmp_path))
    rng = np.random.default_rng(1)
    speech = archsim.Trace.from_audio(
        [rng.integers(-9000, 9000, 8000).astype(np.int16)] * 2, ["yes no", "no"], sample_rate_hz=8000
    )
    result = archsim.simulate(network, speech, threshold=0.3)
    assert result.record["metric"] == "wer" and set(" ".join(result.predictions).split()) <= {"yes", "no"}
    slow = archsim.Trace.from_audio(speech.sequences, sample_rate_hz=16000)
    with pytest.raises(archsim.ArchsimError, match="16000 samples per second, words takes 8000: resample"):
        archsim.simulate(network, slow, threshold=0.3)


@pytest.mark.parametrize("old, new, message", [
    ('kind = "ctc"', 'kind = "ctcc"', "head = .*ctcc.*'mean-linear', 'ctc', 'attention-decoder'"),
    ("labels", "lables", "unknown key 'head.lables', did you mean 'labels'"),
    ('"yes", "no"', '"yes"', "head has 3 outputs and 2 labels"),
    ('["", "yes", "no"]', '"yes"', "head.labels is a str: need a list$"),
    ("[head]", "[calibration.bnn]\nfoo = 1\n[head]", "unknown key 'calibration.bnn.foo'"),
    ("stacked-spectrogram", "spectrogram", "frontend 'spectrogram' is not known, did you mean"),
    ("stacked-spectrogram", "log-mel-deltas", "front end gives 120 numbers per step, the first layer takes 162"),
    ('"wer"', '"accuracy"', "metric = 'accuracy': accepted with this head: bleu, wer"),
    ("[head]", '[embedding]\nweight = "e"\nvocabulary = "v"\nsubwords = "s"\n[head]', "tensor 'e' is missing"),
])  # fmt: skip
def test_broken_ctc_folder_is_refused(old, new, message, tmp_path):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.load_network(ctc_folder(tmp_path, CTC.replace(old, new)))


def test_saved_calibration_holds_threshold_and_evidence(tmp_path):
    """Comments and everything else in the manifest stay."""
    folder_with(tmp_path, MANIFEST.replace("[thresholds]", "[thresholds]  # kept"))
    network = archsim.load_network(tmp_path)
    trace = archsim.Trace.from_texts(["good bad", "bad"] * 20, [1, 0] * 20, name="valid")
    result = calibrate_threshold(network, trace, max_losses=[100.0, 2.0], highest=0.5)
    save_calibration(tmp_path, "bnn", result.evidence)
    text = (tmp_path / "network.toml").read_text("utf-8")
    assert "[thresholds]  # kept" in text and text.count("[calibration.bnn]") == 1
    again = archsim.load_network(tmp_path)
    assert again.thresholds["bnn"] == result.chosen[2.0].threshold and again.digest == network.digest
    kept = read_manifest(tmp_path / "network.toml").calibration["bnn"]
    assert kept == result.evidence and [p.max_loss for p in kept.points] == [2.0, 100.0]
    assert (kept.trace, kept.trace_digest, kept.sequences) == ("valid", trace.digest, 40)


def test_saved_thresholds_per_gate_are_used_by_a_run(tmp_path):
    """The evidence says what the lists are of."""
    network = archsim.load_network(folder_with(tmp_path))
    trace = archsim.Trace.from_texts(["good bad good good bad", "bad good bad bad"] * 20, [1, 0] * 20, name="valid")
    result = calibrate_threshold(network, trace, max_losses=[100.0], highest=0.5, per="gate", passes=9)
    theta = [[0.125, 0.25, 3.0]]
    point = result.evidence.points[0].model_copy(update={"threshold": theta})
    save_calibration(tmp_path, "bnn", result.evidence.model_copy(update={"points": (point,)}))
    again, kept = archsim.load_network(tmp_path), read_manifest(tmp_path / "network.toml").calibration["bnn"]
    assert again.thresholds["bnn"] == theta == kept.points[0].threshold and kept.per == "gate"
    assert again.digest == network.digest
    assert archsim.simulate(again, trace).record["threshold"] == "[[0.125, 0.25, 3.0]]"


def test_thresholds_for_another_number_of_layers_are_refused(tmp_path):
    network = archsim.load_network(folder_with(tmp_path, MANIFEST.replace("0.25", "[0.1, 0.2]")))
    with pytest.raises(archsim.ArchsimError, match="threshold: 2 entries for 1 layers"):
        archsim.simulate(network, archsim.Trace.from_texts(["good"]))
