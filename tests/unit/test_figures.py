"""Figures of the study: labelled axes, all data drawn, equal bytes for equal data."""

from functools import cache
from importlib import import_module
from io import BytesIO
from pkgutil import iter_modules

import numpy as np
import pandas as pd
import pytest
from harness import make_network, make_trace

from archsim.paper import AVERAGES
from archsim.report.figures import energy_breakdown
from archsim.report.figures.common import with_mean
from archsim.report.style import styled
from archsim.reproduce import figures
from archsim.reproduce.figures import at_loss, loss_against_threshold, relative_change, speedup
from archsim.reproduce.figures.area import draw as draw_area
from archsim.reproduce.figures.correlation import draw as draw_correlation
from archsim.reproduce.figures.scatter import draw as draw_scatter
from archsim.reproduce.neurons import observe

NETWORKS = ("one", "two", "three")
POLICIES = ("bnn", "oracle")


@cache
def observation():
    network = make_network("gru", inputs=3, units=4)
    return observe(network, make_trace(network, (9, 5)))


def observed(method, networks):
    """Return a frame of an observation, repeated under several names."""
    frame = getattr(observation(), method)()
    return pd.concat([frame.assign(network=name) for name in networks] or [frame.iloc[:0]])


def thresholds(networks):
    rows = [
        (n, p, str(t), 0.1 * t, 2 * t, 2 * t - 1, 2 * t + 1, "wer")
        for n in networks
        for p in POLICIES
        for t in (9, 0, 2)
    ]
    loss = ["metric_loss", "metric_loss_low", "metric_loss_high"]
    return pd.DataFrame(rows, columns=["network", "policy", "threshold", "reuse_fraction", *loss, "metric"])


def losses(networks):
    rows = [(n, p, m, 0.1 * m, 0.1 * m - 0.15, 0.5) for n in networks for p in POLICIES for m in (1, 2, 3)]
    columns = ["network", "policy", "max_loss", "reuse_fraction", "energy_saving", "metric_loss"]
    return pd.DataFrame(rows, columns=columns)


def energies(networks):
    """Return 20 J without reuse and 15 J with it; one bucket has two rows."""
    base = [("scratchpad", 8.0), ("scratchpad", 4.0), ("operations", 4.0), ("dram", 1.0), ("static", 3.0)]
    with_memo = [("scratchpad", 7.0), ("operations", 3.0), ("dram", 1.0), ("memo", 1.0), ("static", 3.0)]
    sides = {"baseline": base, "policy": with_memo}
    rows = [(n, side, bucket, joules) for n in networks for side, table in sides.items() for bucket, joules in table]
    return pd.DataFrame(rows, columns=["network", "side", "bucket", "joules"])


def speedups(networks):
    rows = [(n, p, 1 + 0.1 * i) for n in networks for i, p in enumerate(POLICIES)]
    return pd.DataFrame(rows, columns=["network", "policy", "speedup"])


def areas(machines):
    rows = [(m, c, mm2) for m in machines for c, mm2 in (("dpu", 0.01), ("weight_buffer", 10.0), ("fmu", 0.02))]
    return pd.DataFrame(rows, columns=["machine", "component", "mm2"])


def means(networks):
    rows = [(n, p, 0.3, 0.2, 1.4) for n in networks for p in POLICIES]
    return pd.DataFrame(rows, columns=["source", "policy", "reuse_fraction", "energy_saving", "speedup"])


MAKERS = {
    "averages": means,
    "relative_change": lambda networks: observed("changes", networks),
    "correlation": lambda networks: observed("correlations", networks),
    "scatter": lambda networks: observed("scatter", networks),
    "loss_against_threshold": thresholds,
    "at_loss": losses,
    "energy_breakdown": energies,
    "speedup": speedups,
    "area": areas,
}
EACH = pytest.mark.parametrize("name", MAKERS)


def module(name):
    where = "report" if name == "energy_breakdown" else "reproduce"
    return import_module(f"archsim.{where}.figures.{name}")


def bars_of(axes):
    return [[bar.get_height() for bar in group] for group in axes.containers]


def test_every_figure_module_is_tested():
    names = {info.name for info in iter_modules(figures.__path__)}
    assert {name for name in names if hasattr(module(name), "draw")} | {"energy_breakdown"} == set(MAKERS)


def test_every_figure_has_a_name_a_title_and_a_caption():
    names = [module(name).NAME for name in MAKERS]
    assert len(set(names)) == len(names)
    for name in MAKERS:
        assert module(name).TITLE and module(name).CAPTION.endswith(".")


@EACH
@pytest.mark.parametrize("networks", [(), ("one",), NETWORKS], ids=len)
def test_every_axis_is_labelled_for_any_number_of_networks(name, networks):
    figure = module(name).draw(MAKERS[name](networks))
    assert figure.axes and all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)
    figure.draw_without_rendering()


@EACH
def test_equal_data_give_equal_svg_bytes(name):
    frame, files = MAKERS[name](NETWORKS[:2]), (BytesIO(), BytesIO())
    for file in files:
        figure = module(name).draw(frame.copy())
        with styled():
            figure.savefig(file, format="svg", metadata={"Date": None})
    assert files[0].getvalue() == files[1].getvalue()


@EACH
def test_drawing_leaves_the_frame_unchanged(name):
    frame = MAKERS[name](NETWORKS)
    before = frame.copy()
    module(name).draw(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_relative_change_is_cumulative_per_quantity_and_network():
    frame = observed("changes", NETWORKS)
    dots, outputs = relative_change.draw(frame).axes
    assert (dots.get_title(), outputs.get_title()) == ("dot product", "output")
    x, y = dots.lines[0].get_data()
    counts = frame[(frame["network"] == "one") & (frame["quantity"] == "dot product")]
    below = counts.loc[counts["high"] < 0.1001, "count"].sum() / counts["count"].sum()
    assert y[np.argmin(np.abs(x - 10))] == pytest.approx(100 * below)
    assert (np.diff(y) >= 0).all() and len(dots.lines) == len(NETWORKS) + 1


def test_correlation_histogram_holds_all_defined_neurons():
    frame = pd.DataFrame({"network": "one", "correlation": [1.0000000001, 0.5, -1.0, float("nan")]})
    (axes,) = draw_correlation(frame).axes
    (heights,) = bars_of(axes)
    assert sum(heights) == pytest.approx(100) and heights[0] == pytest.approx(heights[-1])


def test_undefined_correlations_leave_an_empty_panel():
    (axes,) = draw_correlation(pd.DataFrame({"network": ["one"], "correlation": [float("nan")]})).axes
    assert axes.get_title() == "one" and not axes.texts


def test_scatter_title_gives_its_correlation():
    frame = pd.DataFrame({"network": "one", "binary": [1, 2, 3], "real": [2.0, 4.0, 6.0]})
    (axes,) = draw_scatter(frame).axes
    assert axes.get_title() == "one, r = 1.00" and len(axes.collections[0].get_offsets()) == 3


def test_threshold_figure_sorts_thresholds_and_puts_reuse_over_loss():
    axes = loss_against_threshold.draw(thresholds(NETWORKS)).axes
    assert [one.get_title() for one in axes[:3]] == list(NETWORKS) and len(axes) == 6
    assert [line.get_label() for line in axes[0].lines] == list(POLICIES)
    np.testing.assert_allclose(axes[0].lines[0].get_data(), [[0, 2, 9], [0, 20, 90]])
    np.testing.assert_allclose(axes[3].lines[0].get_data(), [[0, 2, 9], [0, 4, 18]])
    assert axes[3].get_ylabel() == "loss in WER (points)" and axes[3].get_ylim()[1] == 10
    assert len(axes[3].collections) == len(POLICIES)


def test_policy_without_threshold_is_not_drawn():
    frame = thresholds(["one"])
    with_none = pd.concat([frame, frame.head(1).assign(policy="none", threshold=None)])
    assert len(loss_against_threshold.draw(with_none).axes[0].lines) == len(POLICIES)


def test_at_loss_has_a_panel_per_policy_and_figure_of_merit():
    axes = at_loss.draw(losses(NETWORKS)).axes
    assert [one.get_title() for one in axes] == ["bnn", "bnn", "oracle", "oracle"]
    np.testing.assert_allclose(bars_of(axes[0]), [[10] * 4, [20] * 4, [30] * 4])
    np.testing.assert_allclose(bars_of(axes[1]), [[-5] * 4, [5] * 4, [15] * 4])
    assert [text.get_text() for text in axes[1].texts[:4]] == ["−5"] * 4
    assert [tick.get_text() for tick in axes[0].get_xticklabels()] == [*NETWORKS, "mean"]


def test_mean_is_nan_if_a_network_lacks_a_value():
    table = pd.DataFrame({"a": [1.0, 3.0], "b": [1.0, None]}, index=["one", "two"])
    assert with_mean(table).loc["mean", "a"] == 2 and np.isnan(with_mean(table).loc["mean", "b"])
    assert list(with_mean(table.head(1)).index) == ["one"]


def test_energy_bars_are_stacked_and_normalised_to_the_baseline():
    (axes,) = energy_breakdown.draw(energies(NETWORKS)).axes
    np.testing.assert_allclose(bars_of(axes)[0], [60, 35] * 3)
    np.testing.assert_allclose(np.sum(bars_of(axes), axis=0), [100, 75] * 3)
    assert [text.get_text() for text in axes.texts] == ["100", "75"] * 3


def test_speedup_figure_shows_the_papers_mean():
    (axes,) = speedup.draw(speedups(NETWORKS)).axes
    np.testing.assert_allclose(bars_of(axes), [[1.0] * 4, [1.1] * 4])
    assert AVERAGES.speedup in [line.get_ydata()[0] for line in axes.lines]


def test_small_area_components_are_drawn_as_other():
    (axes,) = draw_area(areas(("E-PUR", "with memoization"))).axes
    assert [group.get_label() for group in axes.containers] == ["weight buffer", "other"]
    np.testing.assert_allclose(
        [[bar.get_width() for bar in group] for group in axes.containers], [[10, 10], [0.03, 0.03]]
    )
    assert [text.get_text() for text in axes.texts] == ["10.0", "10.0"]


def test_bars_of_a_group_have_distinct_hatches():
    """Hatches tell bars apart in a grey print."""
    (axes,) = energy_breakdown.draw(energies(["one"])).axes
    hatches = [group[0].get_hatch() for group in axes.containers]
    assert len(set(hatches)) == len(hatches) == 5
