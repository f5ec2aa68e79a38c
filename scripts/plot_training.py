"""Plot the loss and the validation metric of a training run.

python scripts/plot_training.py OUT/history.json -o models/imdb-lstm/training.svg
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from archsim.cli.exit import exit_code
from archsim.errors import UsageError
from archsim.report.style import save_as

METRICS = {
    "val_accuracy": ("accuracy (%)", 100),
    "valid_wer": ("word error rate (%)", 100),
    "val_bleu": ("BLEU", 1),
}
CLOCKS, LOSSES = ("epoch", "round"), ("train_loss", "loss")


def draw(history: pd.DataFrame) -> Figure:
    """Draw the training loss and the validation metric side by side over epochs or rounds."""
    metric, clock, loss = (_first(history, names) for names in (METRICS, CLOCKS, LOSSES))
    label, scale = METRICS[metric]
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(history[clock], history[loss], color="#0072B2")
    left.set(xlabel=clock, ylabel="training loss")
    judged = history.dropna(subset=[metric])
    right.plot(judged[clock], scale * judged[metric], color="#D55E00", marker="o", markersize=3)
    right.set(xlabel=clock, ylabel=f"validation {label}")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    return figure


def _first(history: pd.DataFrame, names: Iterable[str]) -> str:
    for name in names:
        if name in history:
            return name
    raise UsageError(f"history has {', '.join(history.columns)}; need one of {', '.join(names)}")


def main() -> None:
    """Read the history and save the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("history", type=Path, help="history.json of a training script")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".svg or .png")
    args = parser.parse_args()
    try:
        history = pd.DataFrame(json.loads(args.history.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(f"{args.history}: not a readable history: {error}") from None
    save_as(draw(history), args.output)


if __name__ == "__main__":
    sys.exit(exit_code(main, "plot_training"))
