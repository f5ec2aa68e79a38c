"""Figures of an advice: what each policy gains, how similar steps are, and where the time goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from archsim.advising.bottlenecks import time_shares
from archsim.escaping import one_line
from archsim.report.figures.common import EDGE, SMALL, format_bar_axis
from archsim.report.style import COLOURS, legend_below, panels, series_styles, styled

if TYPE_CHECKING:
    from archsim.advising.advice import Advice

MAX_LAYERS = 20
"""Layers that are drawn; the table has all."""


@styled()
def draw_gains(advice: Advice) -> Figure:
    """Draw energy saving and speedup of each policy that has a θ."""
    judged = [policy for policy in advice.policies if policy.gains is not None]
    names = ["none", *(one_line(policy.name).replace(":", ":\n").replace(",", ",\n") for policy in judged)]
    gains = [policy.gains for policy in judged if policy.gains is not None]
    speedups = [1.0, *(gain.speedup for gain in gains)]
    savings = [0.0, *(100 * gain.energy_saving for gain in gains)]
    figure, (left, right) = panels(2, width=4.6, height=3.0)
    chosen = None if advice.chosen is None else 1 + judged.index(advice.chosen)
    colours = [COLOURS[2] if i == chosen else COLOURS[7] for i in range(len(names))]
    for axis, values, shown, label in (
        (left, speedups, "{:.2f}", "times as fast"),
        (right, savings, "{:.0f}", "energy saved (%)"),
    ):
        bars = axis.bar(range(len(names)), values, 0.7, color=colours, **EDGE)
        axis.bar_label(bars, [shown.format(value) for value in values], padding=2, fontsize=SMALL)
        axis.set_xticks(range(len(names)), names, fontsize=SMALL, rotation=30, ha="right")
        axis.set(ylabel=label)
        format_bar_axis(axis)
    left.axhline(1, color="black", linewidth=0.6)
    return figure


@styled()
def draw_time(advice: Advice) -> Figure:
    """Draw the shares of the time by cause, without reuse and under the best policy."""
    sides = {"without reuse": time_shares(advice.plain_result)}
    if advice.best is not None and advice.best.result is not None:
        sides[f"under {one_line(advice.best.name)}"] = time_shares(advice.best.result)
    causes = dict.fromkeys(cause for shares in sides.values() for cause in shares)
    styles = series_styles(causes)
    figure, (axis,) = panels(1, width=9.2, height=0.9 + 0.45 * len(sides))
    left = [0.0] * len(sides)
    for cause, style in styles.items():
        widths = [100 * shares.get(cause, 0.0) for shares in sides.values()]
        axis.barh(list(sides), widths, 0.7, left, label=cause, color=style.colour, hatch=style.hatch, edgecolor="white")
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="share of the time (%)", xlim=(0, 100))
    legend_below(figure, [axis])
    return figure


@styled()
def draw_similarity(advice: Advice) -> Figure:
    """Draw the change of inputs and outputs from step to step by layer."""
    layers = advice.similarities[:MAX_LAYERS]
    figure, (axis,) = panels(1, width=9.2, height=2.6)
    for i, (values, label) in enumerate(
        (
            ([100 * layer.inputs_change for layer in layers], "inputs"),
            ([100 * layer.outputs_change for layer in layers], "outputs"),
        )
    ):
        at = [position + 0.38 * (i - 0.5) for position in range(len(layers))]
        axis.bar(at, values, 0.36, label=label, color=COLOURS[i], hatch=("", "////")[i], **EDGE)
    axis.set_xticks(range(len(layers)), [one_line(layer.layer) for layer in layers], fontsize=SMALL)
    axis.set(ylabel="change per step (%)")
    format_bar_axis(axis)
    legend_below(figure, [axis])
    return figure
