"""What a report makes of a sweep's tables: which points are best, what varies, what is said of it."""

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
    """Results of rows (network, policy, threshold, loss, saving) and further columns in a dictionary."""
    table = []
    for i, (network, policy, theta, loss, saving, *more) in enumerate(rows):
        row = {"point": i, "error": None, "network": network, "policy": policy, "threshold": theta, "arch": "epur"}
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


def test_the_best_point_saves_most_within_a_point_of_loss():
    study = study_of(sweep([("a", "bnn", 0.1, 0.2, 0.1), ("a", "bnn", 0.2, 0.9, 0.3), ("a", "bnn", 0.3, 1.1, 0.5)]))
    assert best(study) == [1]


def test_without_a_metric_the_best_point_hardly_changes_outputs():
    """At most by 5 %: what saves more by saying something else is no better."""
    unknown = float("nan")
    rows = [("a", "bnn", 0.1 * i, unknown, 0.1 * i, {"output_change": 0.02 * i}) for i in (1, 2, 3)]
    study = study_of(sweep(rows))
    assert best(study) == [1] and "metric_loss" not in study.merits and "output_change" in study.merits
    assert "changing outputs by at most 5 %" in _lead(study)
    for caption in (tradeoff.caption(study), by_name.caption(study, "network")):
        assert "5 %" in caption
    figure = tradeoff.draw(study)
    assert figure.axes[-1].get_xlabel() == "change of outputs (%)"


def test_outputs_of_other_lengths_bound_nothing():
    study = study_of(sweep([("a", "bnn", 0.1, float("nan"), 0.3, {"output_change": float("nan")})]))
    assert best(study) == [0]


def test_where_machines_differ_the_best_point_takes_least_energy():
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


def test_gains_alone_are_enough_where_the_machine_is_one():
    study = study_of(sweep([("a", "bnn", 0.1, 0, 0.1), ("a", "bnn", 0.2, 0, 0.3)]))
    assert not {"time_s", "energy_j"} & set(study.merits)


def test_without_reuse_there_are_times_and_energies():
    study = study_of(sweep([("a", "none", None, 0, 0), ("b", "none", None, 0, 0)]))
    assert {"time_s", "energy_j"} <= set(study.merits) and best(study) == [0, 1]


def test_the_oracle_is_best_of_nobody_who_has_a_machine():
    study = study_of(sweep([("a", "bnn", 0.1, 0, 0.1), ("a", "oracle", 0.1, 0, 0.5)]))
    assert study.best_machines["policy"].tolist() == ["bnn"]
    assert "a bnn, 10 % energy saved, 1.1x (3 sequences)" in _lead(study) and "left out" in _lead(study)


def test_an_axis_that_a_network_or_a_preset_decides_is_none_of_its_own():
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


def test_of_axes_that_go_together_the_first_is_drawn():
    rows = [("a", "bnn", 0.1, 0, 0.1, {WIDTH: w, "arch.fmu.latency_cycles": w // 16}) for w in (64, 128)]
    assert study_of(sweep(rows, ("network", WIDTH, "arch.fmu.latency_cycles"))).numeric == [WIDTH]


def test_a_field_that_only_some_points_set_has_the_value_of_the_machine_elsewhere():
    rows = [
        ("a", "bnn", 0.1, 0, 0.1, {"preset": "own", WIDTH: 64.0}),
        ("a", "bnn", 0.1, 0, 0.2, {"preset": "as it is"}),
    ]
    study = study_of(sweep(rows, ("network", "preset", WIDTH)))
    assert study.points[WIDTH].tolist() == [64, 2048]


def test_other_axes_are_held_at_the_best_point_where_there_are_many():
    rows = [
        ("a", "bnn", theta, 0, theta * width / 1e5, {WIDTH: width, "energy_j": 1 - theta * width / 1e5})
        for theta in range(1, 9)
        for width in (64, 128)
    ]
    data, held = study_of(sweep(rows, ("network", "threshold", WIDTH))).over(WIDTH)
    assert held and data["threshold"].tolist() == [8, 8] and set(data["series"]) == {"bnn"}


def test_there_is_no_mean_where_a_network_is_missing():
    rows = [
        ("a", "bnn", 0.1, 0, 0.1, {"arch": "x"}),
        ("b", "bnn", 0.1, 0, 0.3, {"arch": "x"}),
        ("a", "bnn", 0.1, 0, 0.4, {"arch": "y"}),
    ]
    axes = by_name.draw(study_of(sweep(rows, ("network", "arch"))), "arch").axes
    saving = next(axis for axis in axes if "saving" in axis.get_ylabel())
    heights = [bar.get_height() for bar in saving.containers[0]]
    assert heights[0] == pytest.approx(20) and heights[1] != heights[1]


def test_nothing_that_ran_is_an_error_that_names_the_first_failure():
    found = sweep([("a", "bnn", 0.1, 0, 0.1)])
    found.results["error"] = "just so"
    with pytest.raises(UsageError, match="no point of 1 has run yet; the first failed with: just so"):
        study_of(found)


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
def test_a_number_in_a_table(column, value, text):
    assert label_of(column).number(value) == text


def test_labels_have_units():
    assert label_of("time_s").axis == "time (ms)"
    assert label_of(CAPACITY).axis == "weight_buffer.capacity (KiB)"
    assert label_of(WIDTH).axis == "fmu.width_bits (bit/cycle)"


def test_twenty_looks_are_told_apart():
    found = series_styles(map(str, range(20)))
    assert len(set(found.values())) == 20
    assert len({(look.colour, look.hatch) for look in found.values()}) == 20


def test_a_figure_is_saved_as_svg_or_png_only(tmp_path):
    with pytest.raises(UsageError, match=r"accepted suffixes: \.svg, \.png"):
        save_as(panels(1)[0], tmp_path / "figure.pdf")
    assert list(tmp_path.iterdir()) == []
