"""Study of a sweep's tables: best points, axes that vary, and words about them."""

import pandas as pd
import pytest

from archsim.config.load import load_arch
from archsim.errors import UsageError
from archsim.report.assemble import _lead
from archsim.report.figures import by_name, over_axis, tradeoff
from archsim.report.labels import label_of
from archsim.report.study import study_of
from archsim.report.style import panels, save_as, series_styles
from archsim.sweeps.frames import SweepResults

WIDTH, CAPACITY = "arch.fmu.width_bits", "arch.weight_buffer.capacity_bytes"


def sweep(rows, chosen=("network", "policy", "threshold")):
    """Return results of rows (network, policy, threshold, loss, saving) and further columns in a dictionary."""
    table = []
    for i, (network, policy, theta, loss, saving, *more) in enumerate(rows):
        row = {"point": i, "error": None, "network": network, "policy": policy, "threshold": theta, "arch": "epur"}
        row |= {"precision": "fp16"}
        row |= {"metric_loss": loss, "metric_loss_low": loss, "metric_loss_high": loss, "energy_saving": saving}
        row |= {
            "output_change": saving / 10,
            "reuse_fraction": saving,
            "speedup": 1 + saving,
            "time_s": 1.0,
            "energy_j": 1 - saving,
            "sequences": 3,
        }
        table.append(row | (more[0] if more else {}))
    about = {"grid": "", "machine.epur": load_arch("epur").model_dump_json()}
    empty = pd.DataFrame(columns=["point"])
    return SweepResults(pd.DataFrame(table), empty, empty, list(chosen), about, len(table))


def best(study):
    return study.best["point"].tolist()


def test_best_point_saves_most_within_one_point_of_loss():
    study = study_of(sweep([("a", "bnn", 0.1, 0.2, 0.1), ("a", "bnn", 0.2, 0.9, 0.3), ("a", "bnn", 0.3, 1.1, 0.5)]))
    assert best(study) == [1]


def test_best_point_without_metric_changes_outputs_by_5_percent_at_most():
    """A point that saves more but changes outputs more is no better."""
    unknown = float("nan")
    rows = [("a", "bnn", 0.1 * i, unknown, 0.1 * i, {"output_change": 0.02 * i}) for i in (1, 2, 3)]
    study = study_of(sweep(rows))
    assert best(study) == [1] and "metric_loss" not in study.merits and "output_change" in study.merits
    assert "changing outputs by at most 5 %" in _lead(study)
    for caption in (tradeoff.caption(study), by_name.caption(study, "network")):
        assert "5 %" in caption
    figure = tradeoff.draw(study)
    assert figure.axes[-1].get_xlabel() == "change of outputs (%)"


def test_undefined_output_change_excludes_no_point():
    study = study_of(sweep([("a", "bnn", 0.1, float("nan"), 0.3, {"output_change": float("nan")})]))
    assert best(study) == [0]


def test_best_point_across_machines_takes_least_energy():
    """A machine that wastes energy may save most of it."""
    rows = [
        ("a", "bnn", 0.1, 0, 0.7, {WIDTH: 64, "energy_j": 3.0}),
        ("a", "bnn", 0.1, 0, 0.2, {WIDTH: 128, "energy_j": 1.0}),
    ]
    study = study_of(sweep(rows, ("network", "policy", WIDTH)))
    assert best(study) == [1]
    assert {"time_s", "energy_j"} <= set(study.merits)
    for caption in (over_axis.caption(study, WIDTH), tradeoff.caption(study), by_name.caption(study, "network")):
        assert "against the same machine without memoization" in caption


def test_single_machine_is_judged_by_gains_only():
    study = study_of(sweep([("a", "bnn", 0.1, 0, 0.1), ("a", "bnn", 0.2, 0, 0.3)]))
    assert not {"time_s", "energy_j"} & set(study.merits)


def test_baseline_only_study_shows_time_and_energy():
    study = study_of(sweep([("a", "none", None, 0, 0), ("b", "none", None, 0, 0)]))
    assert {"time_s", "energy_j"} <= set(study.merits) and best(study) == [0, 1]


def test_oracle_is_left_out_of_best_machines():
    study = study_of(sweep([("a", "bnn", 0.1, 0, 0.1), ("a", "oracle", 0.1, 0, 0.5)]))
    assert study.best_machines["policy"].tolist() == ["bnn"]
    assert "a bnn, 10 % energy saved, 1.1x (3 sequences)" in _lead(study) and "left out" in _lead(study)


def test_axis_determined_by_network_or_preset_is_not_drawn():
    rows = [
        (network, "bnn", theta, 0, theta / 10, {"limit": limit, "preset": preset, WIDTH: width})
        for network, limit in (("a", 3), ("b", 5))
        for theta in (0.1, 0.2)
        for preset, width in (("small", 64), ("big", 128))
    ]
    study = study_of(sweep(rows, ("network", "policy", "threshold", "limit", "preset", WIDTH)))
    assert study.numeric == ["threshold"] and study.categories == ["preset"]
    data, held = study.over("threshold")
    assert not held and set(data["series"]) == {"bnn, small", "bnn, big"}


def test_first_of_axes_that_vary_together_is_drawn():
    rows = [("a", "bnn", 0.1, 0, 0.1, {WIDTH: w, "arch.fmu.latency_cycles": w // 16}) for w in (64, 128)]
    assert study_of(sweep(rows, ("network", WIDTH, "arch.fmu.latency_cycles"))).numeric == [WIDTH]


def test_unset_field_takes_the_value_of_the_machine():
    rows = [
        ("a", "bnn", 0.1, 0, 0.1, {"preset": "own", WIDTH: 64.0}),
        ("a", "bnn", 0.1, 0, 0.2, {"preset": "as it is"}),
    ]
    study = study_of(sweep(rows, ("network", "preset", WIDTH)))
    assert study.points[WIDTH].tolist() == [64, 2048]


def test_other_long_axes_are_held_at_the_best_point():
    rows = [
        ("a", "bnn", theta, 0, theta * width / 1e5, {WIDTH: width, "energy_j": 1 - theta * width / 1e5})
        for theta in range(1, 9)
        for width in (64, 128)
    ]
    data, held = study_of(sweep(rows, ("network", "threshold", WIDTH))).over(WIDTH)
    assert held and data["threshold"].tolist() == [8, 8] and set(data["series"]) == {"bnn"}


def test_mean_over_networks_is_nan_if_one_is_missing():
    rows = [
        ("a", "bnn", 0.1, 0, 0.1, {"arch": "x"}),
        ("b", "bnn", 0.1, 0, 0.3, {"arch": "x"}),
        ("a", "bnn", 0.1, 0, 0.4, {"arch": "y"}),
    ]
    axes = by_name.draw(study_of(sweep(rows, ("network", "arch"))), "arch").axes
    saving = next(axis for axis in axes if "saving" in axis.get_ylabel())
    heights = [bar.get_height() for bar in saving.containers[0]]
    assert heights[0] == pytest.approx(20) and heights[1] != heights[1]


def test_study_of_failed_points_names_the_first_failure():
    result = sweep([("a", "bnn", 0.1, 0, 0.1)])
    result.results["error"] = "just so"
    with pytest.raises(UsageError, match="no point of 1 has run yet; the first failed with: just so"):
        study_of(result)


@pytest.mark.parametrize("column, value, text", [
    ("speedup", 2.345, "2.35"),
    ("energy_saving", 0.99996, "100"),
    ("energy_saving", -0.0, "0"),
    ("time_s", 0.9997, "1000"),
    ("time_s", 12.3456, "12300"),
    ("metric_loss", None, "–"),
    ("metric_loss", float("nan"), "–"),
    (CAPACITY, 2 << 20, "2048"),
    (WIDTH, 123457, "123457"),
])  # fmt: skip
def test_table_number_is_rounded_or_a_dash(column, value, text):
    assert label_of(column).number(value) == text


def test_axis_labels_have_units():
    assert label_of("time_s").axis == "time (ms)"
    assert label_of(CAPACITY).axis == "weight_buffer.capacity (KiB)"
    assert label_of(WIDTH).axis == "fmu.width_bits (bit/cycle)"


def test_twenty_series_styles_are_distinct():
    result = series_styles(map(str, range(20)))
    assert len(set(result.values())) == 20
    assert len({(look.colour, look.hatch) for look in result.values()}) == 20


def test_figure_of_another_suffix_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"accepted suffixes: \.svg, \.png"):
        save_as(panels(1)[0], tmp_path / "figure.pdf")
    assert list(tmp_path.iterdir()) == []
