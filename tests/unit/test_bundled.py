"""Networks and traces that are installed with the package."""

from pathlib import Path

import numpy as np
import pytest
from harness import CORPORA

import archsim
from archsim.corpora.catalogue import bundled_traces
from archsim.files import bundled_folder
from archsim.ir.folder import bundled_networks

SOURCE = Path(__file__).parents[2] / "traces" / "imdb-lstm.tsv"


def test_bundled_networks_are_the_four_of_the_paper():
    assert bundled_networks() == bundled_traces() == ["ds2-gru", "eesen-bilstm", "imdb-lstm", "mnmt-lstm"]


def test_bundled_reviews_have_documented_number_length_and_balance():
    """At least 120 reviews of 60 to 200 words, half of them positive."""
    trace = archsim.load_trace("imdb-lstm")
    words = [len(text.split()) for text in trace.sequences]
    assert len(trace) >= 120 and min(words) >= 60 and max(words) <= 200
    assert 2 * sum(trace.targets) == len(trace) and len(set(trace.sequences)) == len(trace)


def test_review_trace_equals_its_source_file():
    lines = [line.split("\t", 1) for line in SOURCE.read_text("utf-8").splitlines()]
    trace = archsim.load_trace("imdb-lstm")
    assert trace.sequences == tuple(text for _, text in lines)
    assert trace.targets == tuple(int(label == "pos") for label, _ in lines)


@pytest.mark.parametrize("name", bundled_networks())
def test_bundled_network_has_provenance_card_trace_and_thresholds(name):
    network = archsim.load_network(name)
    assert network.name == name and network.provenance and network.default_trace in bundled_traces()
    assert {"bnn", "oracle"} <= set(network.thresholds)
    assert (bundled_folder("models") / name / "README.md").is_file()


@pytest.mark.parametrize("name, limit, metric, low, high", [
    ("imdb-lstm", 40, "accuracy", 65, 100),
    ("eesen-bilstm", 6, "wer", 0, 25),
    ("ds2-gru", 6, "wer", 0, 25),
    ("mnmt-lstm", 40, "bleu", 15, 100),
])  # fmt: skip
def test_bundled_network_reaches_a_sensible_metric_on_its_trace(name, limit, metric, low, high):
    """The traces are not from the training corpus, so the metric is worse than there."""
    trace = archsim.load_trace(name).limit(limit)
    record = archsim.simulate(name, trace, policy="none", keep_outputs=False).record
    assert record["metric"] == metric and low <= record["metric_value"] <= high


@pytest.mark.skipif(CORPORA is None, reason="$ARCHSIM_DATA is not set")
@pytest.mark.parametrize("name, corpus, limit, low, high", [
    ("eesen-bilstm", "fsdd", 10, 0, 8),
    ("ds2-gru", "fsdd", 20, 0, 8),
    ("mnmt-lstm", "multi30k", 100, 24, 100),
])  # fmt: skip
def test_bundled_network_reaches_its_metric_on_validation_data(name, corpus, limit, low, high):
    """Validation data, so that no test set is looked at for a unit test."""
    trace = archsim.load_trace(f"{corpus}-valid").limit(limit)
    assert low <= archsim.simulate(name, trace, policy="none", keep_outputs=False).record["metric_value"] <= high


@pytest.mark.parametrize("name", bundled_networks())
def test_bundled_weights_are_binary16(name):
    """Rounding to what the machine stores changes nothing."""
    for layer in archsim.load_network(name).layers:
        for direction in layer.directions:
            np.testing.assert_array_equal(direction.weight_ih, direction.weight_ih.astype(np.float16))


@pytest.mark.parametrize("kind, pattern, most_mib", [("models", "*.safetensors", 48), ("traces", "*", 12)])
def test_bundled_files_stay_small(kind, pattern, most_mib):
    sizes = [path.stat().st_size for path in bundled_folder(kind).rglob(pattern) if path.is_file()]
    assert 0 < sum(sizes) <= most_mib << 20


def test_bundled_captions_are_lower_case_and_unique():
    """At least 120 pairs, lower-cased, no sentence twice."""
    trace = archsim.load_trace("mnmt-lstm")
    assert len(trace) >= 120 and len(set(trace.sequences)) == len(trace)
    assert all(text == text.lower() for pair in (trace.sequences, trace.targets) for text in pair)


@pytest.mark.parametrize("name", ["eesen-bilstm", "ds2-gru"])
def test_bundled_digit_strings_have_three_to_seven_digits(name):
    """Both networks have the same strings, in words."""
    trace = archsim.load_trace(name)
    assert {len(target.split()) for target in trace.targets} == {3, 4, 5, 6, 7}
    assert trace.targets == archsim.load_trace("eesen-bilstm").targets
