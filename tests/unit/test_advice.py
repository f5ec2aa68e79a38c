"""Advice: verdicts on made networks, figures against other calls of archsim, and what is said of inputs and machine."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from harness import make_network, make_tokens, make_trace, make_translator, naive_binary_product

import archsim
from archsim.advising.advise import POLICIES
from archsim.advising.bottlenecks import WEIGHTS, time_shares
from archsim.advising.remedies import NO_GAINS
from archsim.advising.subjects import halves_of
from archsim.errors import ArchsimError
from archsim.exploration.threshold_search import LogGrid, last_good
from archsim.inference.run import run_inference
from archsim.policies import policy_from

TWO = ["bnn", "delta"]
WITHOUT_TAIL = [policy for policy in POLICIES if "tail" not in policy]
"""Policies that gain only where inputs move little; a tail of a few bits also gains on white noise."""


def smooth(network, sequences=8, steps=60, seed=0):
    """Return slow sine waves, each input with a phase of its own."""
    rng, t = np.random.default_rng(seed), np.arange(steps)[:, None]
    frames = [np.sin(t / 20 + rng.uniform(0, 6, network.input_size)).astype(np.float32) for _ in range(sequences)]
    return archsim.Trace.from_arrays(frames, name="waves")


def noise(network, sequences=8, steps=60, seed=0):
    """Return white noise."""
    rng = np.random.default_rng(seed)
    frames = [rng.standard_normal((steps, network.input_size)).astype(np.float32) for _ in range(sequences)]
    return archsim.Trace.from_arrays(frames, name="noise")


@pytest.fixture(scope="module")
def network():
    return make_network("lstm", inputs=32, units=32, layers=2)


@pytest.fixture(scope="module")
def yes(network):
    return archsim.advise(network, smooth(network), policies=WITHOUT_TAIL)


@pytest.fixture(scope="module")
def no(network):
    return archsim.advise(network, noise(network), policies=WITHOUT_TAIL)


def test_verdict_on_smooth_inputs_is_yes_in_the_first_line(yes):
    first = str(yes).splitlines()[0]
    assert first.startswith("YES, by ") and first == yes.verdict and yes.pays
    assert "times as fast" in first and "less energy" in first and "changing the outputs by" in first and "[" in first
    assert "4 sequences that θ was not chosen on" in first


def test_verdict_on_white_noise_is_no_with_the_reason(no):
    first = str(no).splitlines()[0]
    assert first.startswith("NO: ") and not no.pays and no.chosen is None
    assert "consecutive inputs differ by 14" in first and "even the oracle" in first


def test_figures_are_those_of_a_simulation_of_the_judging_half(network, yes):
    chosen = yes.chosen
    judging = smooth(network).only(halves_of(8).judging)
    alone = archsim.simulate(network, judging, policy=chosen.name, threshold=chosen.trial.threshold).record
    (record,) = [record for record in yes.records() if record["recommended"]]
    assert record["policy"] == chosen.name
    for key in ("speedup", "energy_saving", "output_change", "macs_avoided_fraction", "cycles", "digest"):
        assert record[key] == alone[key], key
    assert f"{alone['speedup']:.2f} times as fast" in yes.verdict


def test_chosen_theta_is_the_largest_within_the_bound(network, yes):
    choosing, grid = smooth(network).only(halves_of(8).choosing), LogGrid(bisections=2)
    theta = yes.chosen.trial.threshold
    changes = {
        i: archsim.simulate(network, choosing, policy=yes.chosen.name, threshold=grid.theta(i)).record["output_change"]
        for i in range(-20, 6)
    }
    assert theta == grid.theta(last_good({i: change <= 0.05 for i, change in changes.items()}))


def test_sequences_that_judge_do_not_influence_theta(network):
    calm = smooth(network)
    pairs = zip(calm.sequences, noise(network).sequences, strict=True)
    mixed = archsim.Trace.from_arrays([a if i in halves_of(8).choosing else b for i, (a, b) in enumerate(pairs)])
    one, other = (archsim.advise(network, trace, policies=TWO) for trace in (calm, mixed))
    thetas = [[policy.trial and policy.trial.threshold for policy in advice.policies] for advice in (one, other)]
    assert thetas[0] == thetas[1] and thetas[0][1] is not None
    assert one.policies[1].trial.change.value != other.policies[1].trial.change.value


def test_verdict_is_no_if_the_loss_on_the_judging_half_exceeds_the_bound(network):
    """θ fits on sequences that stand still; those that judge drift slowly, and the error with them."""
    drift = np.sin(np.arange(60)[:, None] / 80 + np.arange(32)).astype(np.float32)
    still = np.ones((60, 32), np.float32)
    trace = archsim.Trace.from_arrays([still if i in halves_of(8).choosing else drift for i in range(8)])
    advice = archsim.advise(network, trace, policies=["delta"])
    policy = advice.policies[0]
    assert policy.gains.pays and policy.trial.change.interval.low > 0.05
    assert (
        advice.verdict.startswith("NO: the best policy, delta") and "beyond a change of the outputs" in advice.verdict
    )


def test_policy_without_theta_names_the_cost_of_the_smallest(network):
    advice = archsim.advise(network, noise(network), max_change=0.0001, policies=TWO)
    assert advice.best is None and advice.verdict.startswith("NO: no policy stays within a change of the outputs")
    assert "even θ = 0.00391 changes the outputs by" in str(advice)
    records = advice.records()
    assert [record["policy"] for record in records] == ["none", "bnn", "delta"]
    assert records[1]["speedup"] is None and records[1]["reason"].startswith("even θ")
    assert "Nothing was simulated: a bound 2 times as wide allows no larger θ." in str(advice)


def test_wider_bound_that_admits_a_theta_is_simulated(network):
    trace, policy = smooth(network), "delta"
    choosing = trace.only(halves_of(8).choosing)
    smallest = LogGrid().ends[0]
    least = archsim.simulate(network, choosing, policy=policy, threshold=smallest).record["output_change"]
    advice = archsim.advise(network, trace, max_change=0.7 * least, policies=[policy])
    (remedy,) = advice.remedies
    assert advice.best is None and remedy.policy == policy and remedy.before == NO_GAINS
    assert remedy.change.startswith("a bound 2 times as wide (θ = ") and remedy.change in str(advice)


def test_inputs_that_never_change_sign_are_named(network):
    positive = archsim.Trace.from_arrays([np.abs(frames) for frames in smooth(network).sequences])
    advice = archsim.advise(network, positive, policies=TWO)
    assert "l0: no input ever changes sign, so a binary predictor sees nothing of these inputs unless" in str(advice)
    assert advice.similarities[0].never_change_sign == 1 and advice.similarities[0].sign_changes == 0
    assert advice.similarities[1].never_change_sign < 1


def test_refetched_weights_are_named_and_larger_buffers_simulated(network):
    arch = archsim.load_arch("epur").replace("weight_buffer.capacity_bytes", 6144)
    advice = archsim.advise(network, smooth(network, sequences=10, steps=6), arch=arch, policies=TWO, max_change=0.5)
    assert "for 0.0312 MiB of weights: they are fetched again for each short sequence of 6 steps" in str(advice)
    memory = next(remedy for remedy in advice.remedies if remedy.change.startswith("weight buffers of"))
    larger = arch.replace("weight_buffer.capacity_bytes", 16384)
    judging = smooth(network, sequences=10, steps=6).only(halves_of(10).judging)
    policy, theta = advice.best.name, advice.best.trial.threshold
    results = {a: archsim.simulate(network, judging, a, policy, theta).record for a in (arch, larger)}
    assert memory.after.speedup == results[larger]["speedup"]
    assert memory.faster == results[arch]["baseline_cycles"] / results[larger]["cycles"] > memory.before.speedup


def test_weights_that_stay_on_chip_are_not_said_to_be_fetched_again(yes):
    assert "fetched again" not in str(yes)


@pytest.mark.parametrize("policy", ["none", "bnn", "delta", "oracle"])
def test_shares_of_the_time_add_up_to_one(network, policy):
    for arch in ("epur", archsim.load_arch("epur").replace("weight_buffer.capacity_bytes", 6144)):
        theta = None if policy == "none" else 0.1
        result = archsim.simulate(network, smooth(network, 2), arch, policy, theta)
        shares = time_shares(result)
        assert math.isclose(sum(shares.values()), 1, abs_tol=1e-6) and all(share > 0 for share in shares.values())
        assert result.utilisation.set_index("unit").loc["machine", "weights"] <= shares[WEIGHTS] + 1e-9


def test_similarity_and_correlation_are_those_of_the_definition():
    network = make_network("lstm", inputs=24, units=8)
    trace = make_trace(network, (12, 9, 9, 7))
    advice = archsim.advise(network, trace, policies=["bnn"], max_change=1.0, precision="fp32")
    (layer,) = advice.similarities
    weights = np.concatenate([network.layers[0].directions[0].weight_ih, network.layers[0].directions[0].weight_hh], 1)
    judging = trace.only([0, 2])
    outputs = run_inference(network, judging, policy_from("none"), precision="fp32").outputs
    squares, changes, exact, binary = np.zeros(2), [], [], []
    for x, h in zip(judging.sequences, outputs, strict=True):
        before = np.vstack([np.zeros((1, 8), np.float32), h[:-1]])
        squares += [np.square(np.diff(x, axis=0)).sum(), np.square(x[1:]).sum()]
        changes.append(np.diff(x >= 0, axis=0))
        joint = np.hstack([x, before])
        exact.append(np.diff(joint @ weights.T, axis=0))
        binary.append(np.diff([naive_binary_product(weights, row) for row in joint], axis=0))
    signs, exact, binary = np.vstack(changes), np.vstack(exact), np.vstack(binary)
    assert layer.inputs_change == pytest.approx(math.sqrt(squares[0] / squares[1]), rel=1e-4)
    assert layer.sign_changes == pytest.approx(signs.mean(), rel=1e-5)
    assert layer.never_change_sign == pytest.approx(1 - signs.any(axis=0).mean())
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(exact.T, binary.T, strict=True) if b.any()]
    assert layer.correlations["bnn"] == pytest.approx(np.median(r), abs=1e-4)


def test_layers_show_what_each_avoids_and_gains(network, yes):
    chosen, judging = yes.chosen, smooth(network).only(halves_of(8).judging)
    result = archsim.simulate(network, judging, policy=chosen.name, threshold=chosen.trial.threshold)
    plain = archsim.simulate(network, judging, policy="none")

    def cycles(of, layer):
        return sum(int(of.timing.step_end_cycles(sequence, layer, 0)[-1]) for sequence in range(4))

    for layer, gain in enumerate(yes.gains):
        assert gain.speedup == cycles(plain, layer) / cycles(result, layer)
        skipped = [result.activity.skipped(sequence, layer, 0).mean() for sequence in range(4)]
        assert gain.avoided == pytest.approx(np.mean(skipped))
    assert math.isclose(sum(gain.time_share for gain in yes.gains), 1)


def test_layers_that_do_not_profit_are_named(no):
    poor = [gain.layer for gain in no.gains if gain.speedup < 1.05]
    assert poor and f"These layers do not profit: {poor[0]} (" in str(no)


def test_equal_inputs_give_equal_bytes_on_any_number_of_cores(network, no, tmp_path, monkeypatch):
    monkeypatch.setattr("archsim.inference.run.cores", lambda: 1)
    again = archsim.advise(network, noise(network), policies=WITHOUT_TAIL)
    for advice, name in ((no, "a"), (again, "b")):
        advice.to_html(tmp_path / f"{name}.html")
        advice.to_json(tmp_path / f"{name}.json")
    assert str(again) == str(no)
    for kind in ("html", "json"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_page_holds_everything_and_needs_no_other_file(yes, tmp_path):
    yes.to_html(tmp_path / "advice.html")
    assert [path.name for path in tmp_path.iterdir()] == ["advice.html"]
    page = (tmp_path / "advice.html").read_text("utf-8")
    assert yes.verdict in page.replace("&#39;", "'") and page.count("data:image/svg+xml;base64,") == 3
    assert "http://" not in page and "https://" not in page and "<script" not in page
    notebook = yes._repr_html_()
    assert "<html" not in notebook and yes.verdict in notebook and notebook.count("<table") == page.count("<table")


def test_names_from_files_are_escaped_in_text_and_page(network, tmp_path):
    advice = archsim.advise(replace(network, name="<b>\x1b[1m"), smooth(network, 2, 8), policies=["delta"])
    advice.to_html(tmp_path / "advice.html")
    assert "\x1b" not in str(advice) and "<b>" not in (tmp_path / "advice.html").read_text("utf-8")


def test_single_sequence_is_said_to_be_chosen_and_judged_on(network):
    advice = archsim.advise(network, smooth(network, 1), policies=["delta"])
    assert "1 sequence, the one that θ was chosen on" in advice.verdict and "[" not in advice.verdict
    assert "There is only 1 sequence" in str(advice)


def test_limit_takes_the_first_sequences(network):
    advice = archsim.advise(network, smooth(network), policies=["delta"], limit=5)
    assert advice.subject.halves == ((1, 3, 4), (0, 2)) and "Of 5 of 8 sequences" in str(advice)


def test_translator_without_targets_is_advised_on_by_the_change_of_its_outputs():
    translator = make_translator(width=8, units=8)
    advice = archsim.advise(translator, make_tokens(translator, (5, 7, 6, 4)), policies=TWO, max_change=0.3)
    assert str(advice).startswith(("YES", "NO")) and len(advice.similarities) == 2


def test_records_have_the_keys_of_a_run_and_are_flat(network, yes, tmp_path):
    yes.to_json(tmp_path / "advice.json")
    records = json.loads((tmp_path / "advice.json").read_text())
    run = set(archsim.simulate(network, smooth(network, 1, 4), policy="none").record)
    more = {"verdict", "recommended", "pays", "reason", "output_change_low", "output_change_high"}
    assert all(set(record) == run | more for record in records)
    assert records[0]["policy"] == "none" and sum(r["recommended"] for r in records) == 1
    assert all(record["wall_s"] is None and record["verdict"] == yes.verdict for record in records)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_loss": -1}, "max_loss = -1"),
        ({"max_change": math.nan}, "max_change = nan"),
        ({"limit": 0}, "limit = 0: need a whole number, at least 1 sequence"),
        ({"policies": ["none"]}, "need at least one that saves work"),
        ({"policies": ["bn"]}, "did you mean 'bnn'"),
        ({"arch": "eper"}, "did you mean 'epur'"),
        ({"precision": "fp8"}, "precision = 'fp8'"),
        ({"evaluate": 3}, "evaluate is a int: need a function"),
        ({"evaluate": max}, "a network is scored by its own metric"),
        ({"max_change": None}, "names no metric"),
    ],
)
def test_arguments_that_do_not_go_are_refused_with_the_value(network, arguments, message):
    with pytest.raises(ArchsimError, match=message.replace("(", r"\(")):
        archsim.advise(network, smooth(network, 2, 4), **arguments)


def test_inputs_of_another_kind_are_refused(network):
    with pytest.raises(ArchsimError, match="a network takes a trace, got a ndarray"):
        archsim.advise(network, np.zeros((4, 32)))
    with pytest.raises(ArchsimError, match="takes 32"):
        archsim.advise(network, make_trace(make_network("lstm", inputs=5, units=4), (4, 4)))


def test_network_that_no_machine_holds_is_refused(network):
    arch = archsim.load_arch("epur").replace("input_buffer.capacity_bytes", 16)
    with pytest.raises(ArchsimError, match=r"input_buffer.capacity_bytes"):
        archsim.advise(network, smooth(network, 2, 4), arch=arch)
