"""Exploration from the inside: the climb, the front, the words, and what it shares with plain sweeps."""

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from harness import HerePool, write_classifier, write_own
from hypothesis import given
from hypothesis import strategies as st

import archsim
from archsim.errors import ConfigError, UsageError
from archsim.exploration import figure, search
from archsim.exploration.candidates import POLICIES, WIDTH, Candidate, candidates, predictor_of
from archsim.exploration.findings import findings
from archsim.exploration.front import energy_delay_area, pareto_front
from archsim.exploration.ladder import MOST_BISECTIONS, Ladder
from archsim.exploration.page import LABELS, chosen_on, write_exploration
from archsim.exploration.search import Bound, explore
from archsim.policies import policy_from
from archsim.sweeps import run as sweeps
from archsim.sweeps.frames import SweepResults
from archsim.sweeps.run import run_sweep

BOUND = 22.0
"""Points of loss at which each policy of the tiny classifier crosses once."""
REUSING = ("bnn", "bnn:throttle=off")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A tiny classifier and a trace on which it is right."""
    return write_classifier(tmp_path_factory.mktemp("own") / "net", [12] * 40, seed=1)


@pytest.fixture
def here(monkeypatch):
    """Explorations and sweeps without other processes."""
    for module in (search, sweeps):
        monkeypatch.setattr(module, "pool_for", lambda *choice, **options: nullcontext(HerePool()))


# The climb


def climbed(ladder, fits):
    """Rungs tried in order, and the highest that fits below all that do not."""
    tried = {}
    while (rung := ladder.next_rung(tried)) is not None:
        assert rung not in tried and len(tried) < ladder.most
        tried[rung] = fits(rung)
    bad = min((rung for rung, fit in tried.items() if not fit), default=10**6)
    return tried, max((rung for rung, fit in tried.items() if fit and rung < bad), default=None)


ladders = st.builds(
    Ladder,
    doublings=st.integers(0, 8),
    halvings=st.integers(0, 5),
    bisections=st.integers(0, MOST_BISECTIONS),
)


@given(ladders, st.integers(-300, 300))
def test_a_climb_finds_what_trying_every_rung_finds(ladder, last):
    """Where loss only rises: the highest rung that fits, if there is one on the ladder."""
    rungs = range(-ladder.halvings * ladder.stride, ladder.doublings * ladder.stride + 1)
    assert climbed(ladder, lambda rung: rung <= last)[1] == max((r for r in rungs if r <= last), default=None)


@given(ladders, st.randoms(use_true_random=False))
def test_whatever_the_loss_does_a_climb_ends_in_time(ladder, random):
    tried, best = climbed(ladder, lambda rung: random.random() < 0.7)
    assert len(tried) <= ladder.most
    assert best is None or all(fits for rung, fits in tried.items() if rung <= best)


@pytest.mark.parametrize("bisections", range(MOST_BISECTIONS + 1))
def test_every_rung_has_a_threshold_of_its_own(bisections):
    ladder = Ladder(bisections=bisections)
    rungs = range(-ladder.halvings * ladder.stride, ladder.doublings * ladder.stride + 1)
    thetas = [ladder.theta(rung) for rung in rungs]
    assert thetas == sorted(set(thetas)) and thetas[-1] == 8 and ladder.theta(0) == 0.0625


def test_a_ladder_with_too_many_bisections_is_refused():
    with pytest.raises(ConfigError, match="refine = 6: need 0 to 5 bisections"):
        Ladder(bisections=6)


# The front

# Few different values, so that there are ties.
tables = st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=1, max_size=25).map(
    lambda rows: pd.DataFrame(rows, columns=["energy_saving", "speedup", "area_mm2"]) / [5, 1, 1]
)


def dominates(one, other):
    """Whether a point is no worse than another in all, and better in one."""
    gains = [(one[key] - other[key]) * sign for key, sign in (("energy_saving", 1), ("speedup", 1), ("area_mm2", -1))]
    return min(gains) >= 0 and max(gains) > 0


@given(tables)
def test_the_front_is_what_nothing_dominates(points):
    rows, on_front = points.to_dict("records"), pareto_front(points)
    front = [row for row, on in zip(rows, on_front, strict=True) if on]
    assert front and not any(dominates(a, b) for a in front for b in front)
    for row, on in zip(rows, on_front, strict=True):
        assert on or any(dominates(one, row) for one in front)


@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(points, random):
    order = random.sample(range(len(points)), len(points))
    assert (pareto_front(points.iloc[order]) == pareto_front(points)[order]).all()


@given(tables)
def test_the_least_product_is_on_the_front(points):
    product = energy_delay_area(points, area_mm2=2.0)
    assert pareto_front(points)[product.to_numpy().argmin()]


# The words


def found_of(*rows, max_loss=1.0, margin=0.0):
    """An exploration of hand-made points: policy, θ, bits, reuse, loss and its error, speedup, saving, mm²."""
    columns = [
        "policy",
        "threshold",
        WIDTH,
        "reuse_fraction",
        "metric_loss",
        "half",
        "speedup",
        "energy_saving",
        "area_mm2",
    ]
    none = ("none", 0.0, 512, 0.0, 0.0, 0.0, 1.0, 0.0, 10.0)
    frame = pd.DataFrame([none, *rows], columns=columns)
    frame = frame.assign(point=range(len(frame)), error=None, network="net", trace="data", sequences=7)
    frame["macs_avoided_fraction"] = frame["reuse_fraction"]
    frame["metric_loss_low"], frame["metric_loss_high"] = (frame["metric_loss"] + s * frame["half"] for s in (-1, 1))
    sweep = SweepResults(frame, pd.DataFrame(), pd.DataFrame(), [], {}, len(frame))
    explored = [
        Candidate(policy, (512,), policy not in ("none", "delta"), policy not in ("none", "fixed"))
        for policy in frame["policy"]
    ]
    return findings(sweep, explored, Bound(max_loss, margin).holds, max_loss, None)


BNN = ("bnn", 0.5, 512, 0.48, 0.2, 0.1, 1.9, 0.40, 10.1)
LOWBIT = ("lowbit:bits=3", 0.24, 512, 0.61, 0.4, 0.1, 2.3, 0.55, 10.8)
WIDE = ("lowbit:bits=4", 0.2, 1024, 0.62, 0.5, 0.1, 2.2, 0.57, 12.0)


def test_the_recommendation_has_the_figures_of_its_point_and_of_its_neighbours():
    assert found_of(BNN, LOWBIT, WIDE).recommendation == (
        "lowbit:bits=3 at θ = 0.24 with an FMU of 512 bits: avoids 61 %, loses 0.4 points, is 2.30x as fast and saves "
        "55 % energy for 8 % more area. bnn at θ = 0.5: 40 % less energy and 1.90x for 1 % more area. "
        "To save 57 %, lowbit:bits=4 at θ = 0.2 with an FMU of 1024 bits adds 11 % of area but is only 2.20x as fast."
    )


def test_where_the_papers_predictor_is_best_the_next_is_named():
    better = (*BNN[:6], 3.0, 0.7, 10.1)
    words = found_of(better, LOWBIT).recommendation
    assert words.startswith("bnn at θ = 0.5 with an FMU of 512 bits: avoids 48 %")
    assert "Next best is lowbit:bits=3 at θ = 0.24: 55 % less energy and 2.30x for 8 % more area." in words
    assert "No point within the bound saves more energy to speak of." in words
    assert "No other policy has a point within the bound." in found_of(better).recommendation


def test_the_papers_predictor_may_have_no_point_within_the_bound():
    lossy = (*BNN[:4], 1.2, 0.1, *BNN[6:])
    assert "bnn has no point within the bound." in found_of(lossy, LOWBIT).recommendation


def test_nothing_within_the_bound():
    rows = [(*row[:4], loss, 0.1, *row[6:]) for row, loss in ((BNN, 1.5), (LOWBIT, 1.2))]
    found = found_of(*rows)
    assert found.best is None and found.chosen is None and list(found.front["policy"]) == ["none"]
    assert found.recommendation == (
        "No point stays within 1 point of loss: lowbit:bits=3 at θ = 0.24 with an FMU of 512 bits comes nearest and "
        "loses 1.2 points."
    )


def test_reuse_that_does_not_pay():
    found = found_of(("bnn", 0.5, 512, 0.1, 0.0, 0.0, 0.9, -0.05, 10.5))
    assert found.chosen is None and found.best is not None
    assert found.recommendation == (
        "Reuse does not pay within 1 point of loss: the best is bnn at θ = 0.5 with an FMU of 512 bits: avoids 10 %, "
        "loses nothing, is 0.90x as fast and takes 5 % more energy for 5 % more area; its energy × time × area is "
        "1.23 times that of the machine without."
    )


def test_a_loss_within_noise_of_the_bound_says_so_and_what_is_sure():
    noisy = (*LOWBIT[:4], 0.4, 0.7, *LOWBIT[6:])
    words = found_of(BNN, noisy).recommendation
    assert (
        "Its loss is within noise of the bound (95 % interval -0.3 to 1.1): take more sequences, or --margin" in words
    )
    assert "the best that is surely within is bnn at θ = 0.5" in words
    assert "no point is surely within" in found_of(noisy).recommendation
    assert "noise" not in found_of(BNN, LOWBIT).recommendation


def test_a_margin_counts_standard_errors():
    """Loss 0.4, half an interval 0.7: a standard error of 0.357, so 1.68 of them fit below 1."""
    noisy = (*LOWBIT[:4], 0.4, 0.7, *LOWBIT[6:])
    assert [found_of(noisy, margin=m).best is not None for m in (0, 1.6, 1.7, 1.96)] == [True, True, False, False]


def test_the_oracle_is_never_recommended_nor_on_the_front():
    found = found_of(BNN, ("oracle", 0.5, 512, 0.9, 0.0, 0.0, 9.0, 0.9, 10.1))
    assert found.chosen["policy"] == "bnn" and "oracle" not in set(found.front["policy"])
    assert list(found.others["policy"]) == ["oracle"] and "oracle" not in found.recommendation
    assert "No policy that reuses" in found_of(("oracle", 0.5, 512, 0.9, 0.0, 0.0, 9.0, 0.9, 10.1)).recommendation


def test_a_policy_without_a_unit_or_a_threshold_is_named_without():
    words = found_of(("delta", 0.1, 512, *LOWBIT[3:]), BNN).recommendation
    assert words.startswith("delta at θ = 0.1: avoids 61 %")
    words = found_of(("fixed", 0.1, 512, *LOWBIT[3:])).recommendation
    assert words.startswith("fixed with an FMU of 512 bits: avoids 61 %")


def test_records_say_null_where_a_figure_does_not_apply():
    none, bnn, chosen = found_of(BNN, LOWBIT).records()
    assert none["threshold"] is None and none["width_bits"] is None and none["error"] is None
    assert bnn["front"] and not bnn["recommended"] and chosen["recommended"] and chosen["width_bits"] == 512


def test_it_says_what_to_choose_on():
    assert "choose it on validation data (--split valid" in chosen_on(found_of(BNN))
    found = found_of(BNN)
    object.__setattr__(found, "split", "valid")
    assert chosen_on(found) == "θ was chosen on trace data, 7 sequences: report results on other data."


def test_the_figure_labels_its_axes_and_every_policy_once():
    off = ("bnn:throttle=off", *BNN[1:])
    for rows in ((BNN, off, LOWBIT, WIDE), (BNN,), ((*BNN[:4], 5.0, *BNN[5:]),)):
        drawn = figure.draw(found_of(*rows))
        assert [axis.get_xlabel() for axis in drawn.axes] == ["more area (%)"] * 2
        assert [axis.get_ylabel() for axis in drawn.axes] == ["energy saving (%)", "speedup (x)"]
    names = [text.get_text() for text in figure.draw(found_of(BNN, off, LOWBIT)).legends[0].get_texts()]
    assert names == ["without reuse", "bnn", "bnn, not throttled", "lowbit:bits=3"]


@pytest.mark.parametrize("policy, expected", [
    ("bnn", ("bnn", True)), ("bnn:throttle=off", ("bnn", False)), ("bnn:throttle=on,guard=8", ("bnn:guard=8", True)),
    ("lowbit:bits=4,throttle=off", ("lowbit:bits=4", False)), ("every-fourth", ("every-fourth", True)),
])  # fmt: skip
def test_a_predictor_is_a_policy_without_its_throttle(policy, expected):
    assert predictor_of(policy) == expected


# What is explored


def test_the_default_policies_are_different_and_all_known():
    assert len({policy_from(name).name for name in POLICIES}) == 10


def test_only_machines_that_differ_are_tried(own, monkeypatch):
    none, bnn, again = candidates(own, ["bnn", "oracle", "bnn:throttle=on"], [2048, 256, 256])[:3]
    assert none == Candidate("none", (2048,), has_unit=False, has_theta=False)
    assert bnn == Candidate("bnn", (256, 2048), has_unit=True, has_theta=True)
    assert again.policy == "oracle"


def test_an_architecture_without_the_unit_needs_policies_that_do_without(own, tmp_path):
    (tmp_path / "bare.toml").write_text("fmu = false\n")
    bare = own | {"arch": str(tmp_path / "bare.toml")}
    assert candidates(bare, ["none"], [256]) == [Candidate("none", (), has_unit=False, has_theta=False)]
    with pytest.raises(ConfigError, match="has no fmu, which policy 'bnn' needs"):
        candidates(bare, ["bnn"], [256])


@pytest.mark.parametrize("options, message", [
    ({"policies": ["bn"]}, "unknown policy 'bn', did you mean 'bnn'"),
    ({"policies": []}, "policies = \\[\\], widths = .*: need at least one of each"),
    ({"policies": ["ternary"]}, "has no scales, which policy 'ternary' quantises inputs by"),
    ({"widths": [0]}, "fmu.width_bits = 0"),
    ({"max_loss": -1}, "max_loss = -1: need a finite number >= 0"),
    ({"max_loss": float("nan")}, "max_loss = nan"),
    ({"margin": -1}, "margin = -1: need a finite number >= 0"),
    ({"refine": 99}, "refine = 99: need 0 to 5"),
    ({"limit": 0}, "limit = 0: need a whole number, at least 1 sequence"),
    ({"split": "valid"}, "need one of them"),
    ({"arch": "epurr"}, "unknown architecture 'epurr'"),
    ({"jobs": 0}, "jobs = 0: need at least 1 process"),
])  # fmt: skip
def test_what_cannot_be_explored_is_refused_before_anything_is_written(options, message, own, tmp_path):
    with pytest.raises(UsageError, match=message):
        explore(folder=tmp_path / "out", **({"policies": REUSING} | own | options))
    assert not (tmp_path / "out").exists()


def test_a_task_is_needed(own, tmp_path):
    plain = write_own(tmp_path, (5, 3))
    with pytest.raises(ConfigError, match="network mine names no metric: there is no loss to hold to a bound"):
        explore(plain / "net", tmp_path / "out", trace=plain / "trace.npz")
    frames = archsim.Trace.from_arrays([np.ones((4, 6), np.float32)], name="bare")
    archsim.write_trace(frames, tmp_path / "bare.npz")
    with pytest.raises(ConfigError, match="trace bare has no targets: need a labelled trace"):
        explore(own["network"], tmp_path / "out", trace=tmp_path / "bare.npz")


# Next to a plain sweep


def test_it_finds_what_an_exhaustive_grid_finds_in_fewer_passes(own, tmp_path, here, passes):
    """The same largest θ of each policy, the same point to take, and of the front all but what has a smaller θ."""
    ladder, widths = Ladder(bisections=0), [4, 64]
    found = explore(**own, folder=tmp_path / "out", max_loss=BOUND, policies=REUSING, widths=widths, refine=0)
    assert len(passes) <= 1 + len(REUSING) * ladder.most
    thetas = [ladder.theta(rung) for rung in range(-4 * ladder.stride, 7 * ladder.stride + 1)]
    axes = {"policy": list(REUSING), "threshold": thetas, WIDTH: widths}
    every = run_sweep({"axes": axes, "fixed": own}, tmp_path / "every").results
    every = every.assign(product=energy_delay_area(every, found.reference["area_mm2"]))
    fitting = every[every["metric_loss"] <= BOUND]
    largest = fitting.groupby("policy")["threshold"].max()
    assert found.fitting.groupby("policy")["threshold"].max().to_dict() == largest.to_dict()
    for policy, theta in largest.items():  # else the largest is not what a climb looks for
        assert (every[(every["policy"] == policy) & (every["threshold"] <= theta)]["metric_loss"] <= BOUND).all()
        assert theta < ladder.theta(7 * ladder.stride)
    keys = ["policy", "threshold", WIDTH]
    best = fitting.sort_values("product", kind="stable").iloc[0]
    assert found.best[keys].tolist() == best[keys].tolist() and found.best["product"] == best["product"]
    ours, theirs = (
        set(map(tuple, rows[keys].to_numpy())) for rows in (found.front.iloc[1:], fitting[pareto_front(fitting)])
    )
    assert ours and ours <= theirs and all(theta < largest[policy] for policy, theta, _ in theirs - ours)


def test_run_again_it_computes_nothing_and_with_another_bound_little(own, tmp_path, here, passes):
    options = own | {"folder": tmp_path / "out", "policies": REUSING, "widths": [8, 64]}
    first = explore(**options, max_loss=BOUND)
    computed = len(passes)
    again = explore(**options, max_loss=BOUND)
    assert len(passes) == computed > 0 and again.records() == first.records()
    assert again.recommendation == first.recommendation
    explore(**options, max_loss=BOUND, margin=0.5)
    assert len(passes) < 1.6 * computed


def test_a_page_holds_the_front_and_the_recommendation(own, tmp_path, here):
    found = explore(**own, folder=tmp_path / "out", max_loss=BOUND, policies=["bnn", "oracle"], widths=[64], refine=0)
    page = write_exploration(found, tmp_path / "out")
    text = page.read_text("utf-8")
    assert page.name == "explore.html" and found.recommendation in text and "The front" in text
    assert all(label.text in text for label in LABELS.values()) and "<script" not in text
    assert {path.name for path in (tmp_path / "out" / "figures").iterdir()} == {
        f"{name}{suffix}" for name in ("front", "tradeoff") for suffix in (".svg", ".png")
    }
    assert write_exploration(found, tmp_path / "out").read_text("utf-8") == text


def test_policies_without_theta_take_one_pass_each(own, tmp_path, here, passes):
    found = explore(**own, folder=tmp_path / "out", policies=["none"], widths=[64, 256])
    assert passes == ["none"] and len(found.points) == 1
    assert found.recommendation == "No policy that reuses and that a machine can have was explored."
