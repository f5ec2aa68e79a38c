"""Findings of an exploration: the recommendation, its figures and its words."""

import pandas as pd
import pytest

from archsim.exploration import figure
from archsim.exploration.candidates import WIDTH, Candidate, predictor_of
from archsim.exploration.page import chosen_on
from archsim.exploration.result import evaluate_points
from archsim.exploration.threshold_search import Bound, LogGrid
from archsim.sweeps.frames import SweepResults


def found_of(*rows, max_loss=1.0, margin=0.0):
    """Return the findings of points (policy, θ, bits, reuse, loss and its error, speedup, saving, mm²)."""
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
    candidates = [
        Candidate(policy, (512,), policy not in ("none", "delta"), policy not in ("none", "fixed"))
        for policy in frame["policy"]
    ]
    return evaluate_points(sweep, candidates, Bound(max_loss, margin), None, LogGrid().ends, {})


BNN = ("bnn", 0.5, 512, 0.48, 0.2, 0.1, 1.9, 0.40, 10.1)
LOWBIT = ("lowbit:bits=3", 0.24, 512, 0.61, 0.4, 0.1, 2.3, 0.55, 10.8)
WIDE = ("lowbit:bits=4", 0.2, 1024, 0.62, 0.5, 0.1, 2.2, 0.57, 12.0)


def test_recommendation_gives_figures_of_its_point_and_neighbours():
    assert found_of(BNN, LOWBIT, WIDE).recommendation == (
        "lowbit:bits=3 at θ = 0.24 with an FMU of 512 bits: avoids 61 %, loses 0.4 points, is 2.30x as fast and saves "
        "55 % energy for 8 % more area. bnn at θ = 0.5: 40 % less energy and 1.90x for 1 % more area. "
        "To save 57 %, lowbit:bits=4 at θ = 0.2 with an FMU of 1024 bits adds 11 % of area but is only 2.20x as fast."
    )


def test_next_best_is_named_if_the_papers_predictor_is_best():
    better = (*BNN[:6], 3.0, 0.7, 10.1)
    words = found_of(better, LOWBIT).recommendation
    assert words.startswith("bnn at θ = 0.5 with an FMU of 512 bits: avoids 48 %")
    assert "Next best is lowbit:bits=3 at θ = 0.24: 55 % less energy and 2.30x for 8 % more area." in words
    assert "No point within the bound saves noticeably more energy." in words
    assert "No other policy has a point within the bound." in found_of(better).recommendation


def test_papers_predictor_without_a_point_within_the_bound_is_named():
    lossy = (*BNN[:4], 1.2, 0.1, *BNN[6:])
    assert "bnn has no point within the bound." in found_of(lossy, LOWBIT).recommendation


def test_no_point_within_the_bound_gives_no_recommendation():
    rows = [(*row[:4], loss, 0.1, *row[6:]) for row, loss in ((BNN, 1.5), (LOWBIT, 1.2))]
    found = found_of(*rows)
    assert found.best is None and found.chosen is None and list(found.front["policy"]) == ["none"]
    assert found.recommendation == (
        "No point stays within 1 point of loss: lowbit:bits=3 at θ = 0.24 with an FMU of 512 bits comes nearest and "
        "loses 1.2 points."
    )


def test_reuse_that_saves_nothing_is_not_recommended():
    found = found_of(("bnn", 0.5, 512, 0.1, 0.0, 0.0, 0.9, -0.05, 10.5))
    assert found.chosen is None and found.best is not None
    assert found.recommendation == (
        "Reuse does not pay within 1 point of loss: the best is bnn at θ = 0.5 with an FMU of 512 bits: avoids 10 %, "
        "loses nothing, is 0.90x as fast and takes 5 % more energy for 5 % more area; its energy × time × area is "
        "1.23 times that of the machine without reuse."
    )


def test_loss_within_noise_of_the_bound_names_the_certain_choice():
    noisy = (*LOWBIT[:4], 0.4, 0.7, *LOWBIT[6:])
    words = found_of(BNN, noisy).recommendation
    assert (
        "Its loss is within noise of the bound (95 % interval -0.3 to 1.1): take more sequences, or --margin" in words
    )
    assert "the best that is surely within is bnn at θ = 0.5" in words
    assert "no point is surely within" in found_of(noisy).recommendation
    assert "noise" not in found_of(BNN, LOWBIT).recommendation


def test_margin_is_a_number_of_standard_errors():
    """Loss 0.4 and half an interval of 0.7 give a standard error of 0.357, so 1.68 of them fit below 1."""
    noisy = (*LOWBIT[:4], 0.4, 0.7, *LOWBIT[6:])
    assert [found_of(noisy, margin=m).best is not None for m in (0, 1.6, 1.7, 1.96)] == [True, True, False, False]


def test_oracle_is_neither_recommended_nor_on_the_front():
    found = found_of(BNN, ("oracle", 0.5, 512, 0.9, 0.0, 0.0, 9.0, 0.9, 10.1))
    assert found.chosen["policy"] == "bnn" and "oracle" not in set(found.front["policy"])
    assert list(found.others["policy"]) == ["oracle"] and "oracle" not in found.recommendation
    assert "No policy that reuses" in found_of(("oracle", 0.5, 512, 0.9, 0.0, 0.0, 9.0, 0.9, 10.1)).recommendation


def test_policy_without_unit_or_threshold_is_named_without_them():
    words = found_of(("delta", 0.1, 512, *LOWBIT[3:]), BNN).recommendation
    assert words.startswith("delta at θ = 0.1: avoids 61 %")
    words = found_of(("fixed", 0.1, 512, *LOWBIT[3:])).recommendation
    assert words.startswith("fixed with an FMU of 512 bits: avoids 61 %")


def test_records_hold_null_for_figures_that_do_not_apply():
    none, bnn, chosen = found_of(BNN, LOWBIT).records()
    assert none["threshold"] is None and none["width_bits"] is None and none["error"] is None
    assert bnn["front"] and not bnn["recommended"] and chosen["recommended"] and chosen["width_bits"] == 512


def test_page_states_the_trace_of_the_choice():
    assert "choose it on validation data (--split valid" in chosen_on(found_of(BNN))
    found = found_of(BNN)
    object.__setattr__(found, "split", "valid")
    assert chosen_on(found) == "θ was chosen on trace data, 7 sequences: report results on other data."


def test_figure_labels_its_axes_and_each_policy_once():
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
def test_predictor_name_drops_the_throttle_option(policy, expected):
    assert predictor_of(policy) == expected
