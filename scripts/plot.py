"""Plot tables of scripts/sweep.py: loss, speedup and energy saving against reuse, one line a policy.

python scripts/plot.py sweep.csv -o sweep.svg
"""

from __future__ import annotations

import argparse
import sys

import pandas as pd
from figures import figure_path, save_figure
from matplotlib.figure import Figure

from archsim.cli.exit import exit_code
from archsim.errors import UsageError

STYLES = {"bnn": ("#0072B2", "o", "-"), "oracle": ("#D55E00", "s", "--")}  # colour-blind safe, readable in grey
PANELS = {"metric_loss": "loss of the metric (points)", "speedup": "speedup", "energy_saving": "energy saving (%)"}


def draw(table: pd.DataFrame) -> Figure:
    """Draw one panel a figure of merit."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.subplots(1, len(PANELS))
    for axis, (column, label) in zip(axes, PANELS.items(), strict=True):
        for policy, rows in table.sort_values("reuse_fraction").groupby("policy"):
            colour, marker, line = STYLES.get(str(policy), ("#555555", "^", ":"))
            values = 100 * rows[column] if label.endswith("(%)") else rows[column]
            axis.plot(100 * rows["reuse_fraction"], values, line, color=colour, marker=marker, label=policy)
        axis.set(xlabel="computation reuse (%)", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].legend(title="policy", frameon=False)
    first = table.iloc[0]
    figure.suptitle(f"{first['network']} on {first['arch']}, trace {first['trace']}, {first['sequences']} sequences")
    return figure


def read_table(path: str) -> pd.DataFrame:
    """Read a table of scripts/sweep.py; UsageError for any other file."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a readable table: {error}") from None
    missing = {"policy", "reuse_fraction", *PANELS} - set(table.columns)
    if missing:
        raise UsageError(f"{path}: column {min(missing)} is missing: need a table of scripts/sweep.py")
    return table


def main() -> None:
    """Read the tables and save the figure in the format of the output's suffix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", help="CSV files of scripts/sweep.py")
    parser.add_argument("-o", "--output", type=figure_path, required=True, help=".svg or .png")
    args = parser.parse_args()
    save_figure(draw(pd.concat([read_table(path) for path in args.tables])), args.output)


if __name__ == "__main__":
    sys.exit(exit_code(main, "plot"))
