"""Pictures of the paper's figures, each from its module, with its data."""

from __future__ import annotations

import pandas as pd

from archsim.config.load import load_arch
from archsim.config.technology import load_technology
from archsim.energy.parts import area_mm2
from archsim.report.figures import energy_breakdown
from archsim.report.page import Picture
from archsim.reproduce.dataset_results import AT, DatasetResults
from archsim.reproduce.figures import (
    area,
    at_loss,
    averages,
    correlation,
    loss_against_threshold,
    relative_change,
    scatter,
    speedup,
)
from archsim.sim.machines import machine_of


def pictures(results: DatasetResults) -> list[Picture]:
    """Return all figures of one dataset, in the paper's order."""
    observed, curves, at_all = results.observed, results.thresholds.ran, results.losses.ran
    oracle, binary = curves[curves["policy"] == "oracle"], curves[curves["policy"] != "oracle"]
    some = ", ".join(f"{network} {results.dataset.observed[network]}" for network in results.dataset.networks)
    first = f"The first sequences of each trace: {some}."
    of_curves, at = f"Sequences: {results.sequences(curves)}.", "At the θ calibrated for one point of loss"
    drawn = [
        (relative_change, relative_change.draw(observed["changes"]), "", first),
        (loss_against_threshold, loss_against_threshold.draw(oracle), "oracle", of_curves),
        (scatter, scatter.draw(observed["scatter"]), "", first),
        (correlation, correlation.draw(observed["correlations"]), "", first),
        (loss_against_threshold, loss_against_threshold.draw(binary), "binary network", of_curves),
        (at_loss, at_loss.draw(at_all), "", f"Sequences: {results.sequences(at_all)}."),
        (energy_breakdown, energy_breakdown.draw(_energy(results)), "", f"{at}, predictor bnn."),
        (speedup, speedup.draw(at_all[at_all["max_loss"] == AT]), "", f"{at}."),
    ]
    return [
        Picture(
            "-".join([results.dataset.name, module.NAME, *([which.split()[0]] if which else [])]),
            f"{module.TITLE}: {which}" if which else module.TITLE,
            f"{module.CAPTION} {more}",
            figure,
        )
        for module, figure, which, more in drawn
    ]


def averages_picture(frame: pd.DataFrame) -> Picture:
    """Return the picture of the abstract's averages beside ours."""
    return Picture(averages.NAME, averages.TITLE, averages.CAPTION, averages.draw(frame))


def area_picture() -> Picture:
    """Return the picture of the area with and without memoization."""
    return Picture(area.NAME, area.TITLE, area.CAPTION, area.draw(area_frame()))


def area_frame() -> pd.DataFrame:
    """Return the area in mm² by machine and component."""
    arch = load_arch("epur")
    technology = load_technology(arch.technology)
    machines = {"E-PUR": machine_of(arch).baseline(arch), "with memoization": arch}
    rows = [(name, part, mm2) for name, one in machines.items() for part, mm2 in area_mm2(one, technology).items()]
    return pd.DataFrame(rows, columns=["machine", "component", "mm2"])


def _energy(results: DatasetResults) -> pd.DataFrame:
    """Return the energy of the binary predictor and the baseline at one point of loss, with the network's name."""
    names = results.at_loss(AT, "bnn").set_index("point")["network"]
    energy = results.losses.energy
    energy = energy[energy["point"].isin(names.index)]
    return energy.assign(network=energy["point"].map(names))
