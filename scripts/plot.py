"""Plot two columns of a sweep's results against each other, with one panel per network and one line per policy.

python scripts/plot.py sweep --x threshold --y energy_saving -o saving.svg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

import archsim
from archsim.cli.exit import exit_code
from archsim.errors import UsageError
from archsim.report.labels import label_of
from archsim.report.style import legend_below, line, panels, save_as, series_styles, styled


@styled()
def draw(results: pd.DataFrame, x: str, y: str) -> Figure:
    """Draw the medians of `y` over `x`."""
    networks, styles = list(dict.fromkeys(results["network"])), series_styles(results["policy"])
    figure, axes = panels(len(networks))
    for axis, network in zip(axes, networks, strict=True):
        for policy, rows in results[results["network"] == network].groupby("policy", sort=False):
            medians = label_of(y).scaled(rows[y]).groupby(label_of(x).scaled(rows[x])).median()
            line(axis, medians.index.to_series(), medians, styles[str(policy)], str(policy))
        axis.set(xlabel=label_of(x).axis, ylabel=label_of(y).axis, title=network)
    legend_below(figure, axes)
    return figure


def main() -> None:
    """Read the sweep and save the figure in the format of the output's suffix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="folder of archsim sweep")
    parser.add_argument("--x", default="threshold", help="column of results.csv")
    parser.add_argument("--y", default="energy_saving", help="column of results.csv")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".svg or .png")
    args = parser.parse_args()
    results = archsim.read_sweep(args.sweep).results
    for column in (args.x, args.y):
        if column not in results or not pd.api.types.is_numeric_dtype(results[column]):
            raise UsageError(f"{args.sweep}: no column {column!r} of numbers; there are {', '.join(results.columns)}")
    save_as(draw(results.dropna(subset=[args.x, args.y]), args.x, args.y), args.output)


if __name__ == "__main__":
    sys.exit(exit_code(main, "plot"))
