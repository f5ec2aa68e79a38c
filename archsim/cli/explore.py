"""Command `archsim explore`, which chooses a predictor, its θ and the width of its memoization unit."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsim.cli.options import NamedPath, plugin_option

if TYPE_CHECKING:
    from rich.table import Table

    from archsim.exploration.points import Row
    from archsim.exploration.result import Exploration


@click.command()
@click.option("--network", "-n", required=True, help="Bundled network or network folder.")
@click.option("--max-loss", type=float, help="Largest loss in points of the metric.  [default: 1]")
@click.option(
    "--max-change",
    type=float,
    help="Largest change of the outputs as a fraction, instead of a loss: for networks without a metric or labels.",
)
@click.option("--trace", "-t", help="Labelled trace for the choice.  [default: the network's own]")
@click.option("--split", help="train, valid or test of the network's public corpus in $ARCHSIM_DATA.")
@click.option("--limit", type=int, help="Use only the first so many sequences.")
@click.option("--arch", "-a", default="epur", show_default=True, help="Preset or TOML file of the machine.")
@click.option(
    "--policies",
    "--policy",
    "-p",
    multiple=True,
    help="Policies, separated by spaces; may be repeated.  [default: bnn and ternary, with and without throttle; "
    "bnn:centre=on; lowbit of 2, 3, 4 bits, with and without correction; input-similarity; delta, weighted or not; "
    "those of them that can run]",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    help="Number formats, separated by spaces; may be repeated. Of several, fp16 among them, everything is relative to "
    "fp16 without reuse.  [default: that of the machine]",
)
@click.option("--widths", default="256,512,1024,2048", show_default=True, help="Widths of the FMU in bits.")
@click.option(
    "--margin",
    type=float,
    default=0.0,
    show_default=True,
    help="Standard errors by which the loss must stay below the bound.",
)
@click.option(
    "--refine",
    type=int,
    default=3,
    show_default=True,
    help="Bisections near the bound; they add at most 8 runs.",
)
@click.option("--output", "-o", type=NamedPath(), help="Folder of the results.  [default: explore-NAME]")
@click.option("--jobs", "-j", type=int, help="Processes.  [default: one per core]")
@click.option("--json", "json_path", type=NamedPath(), help="Write all points to a file.")
@plugin_option
def explore(
    network: str,
    policies: tuple[str, ...],
    precisions: tuple[str, ...],
    widths: str,
    output: Path | None,
    json_path: Path | None,
    **options: Any,
) -> None:
    """Find the predictor, its θ and the width of its unit that gain most within a bound on the loss.

    It searches θ for each policy, then tries every width. It prints the Pareto front of energy saving, speedup and
    area, and one recommendation. Choose on validation data. It may be interrupted; run it again to continue.

    \b
    archsim explore --network imdb-lstm --max-loss 1
    ARCHSIM_DATA=~/corpora archsim explore -n mnmt-lstm --split valid --limit 300 --margin 1
    archsim explore -n my-network -t my-inputs.npz --max-change 0.05
    archsim explore -n imdb-lstm --precision "fp16 int8 int4"
    archsim explore -n imdb-lstm -p "bnn lowbit:bits=3,throttle=off" --widths 128,256
    """
    from archsim.cli.console import output_console, say, stage_bars
    from archsim.cli.outputs import check_outputs, input_files
    from archsim.experiment.result import write_records
    from archsim.exploration.page import chosen_on, files_of, not_run, write_exploration
    from archsim.exploration.search import explore as run_exploration

    folder = output or Path(f"explore-{Path(network).resolve().name}")
    inputs = input_files(network, options["trace"], options["arch"])
    check_outputs({"--json": json_path}, inputs | {"--output": [folder, *files_of(folder)]})
    named = [name for text in policies for name in text.split()] or None
    command = shlex.join(["archsim", *sys.argv[1:]])
    with stage_bars() as on_progress:
        result = run_exploration(
            network,
            folder,
            policies=named,
            precisions=[name for text in precisions for name in text.split()],
            widths=_numbers(widths),
            on_progress=on_progress,
            command=command,
            **options,
        )
    page = write_exploration(result, folder)
    if json_path is not None:
        write_records(result.records(), json_path)
    console = output_console()
    console.show(_table(result))
    console.print(result.recommendation, style="bold")
    console.print(chosen_on(result))
    if result.left_out:
        console.print(not_run(result))
    say(f"figures and all points: {page}")


def _numbers(widths: str) -> list[int]:
    from archsim.errors import ConfigError

    try:
        return [int(part) for part in widths.split(",")]
    except ValueError:
        raise ConfigError(f"--widths {widths!r}: need whole numbers with commas between, as 256,512") from None


def _table(result: Exploration) -> Table:
    """Return the points of the front, the recommended one in bold, then the best points of other policies."""
    from rich import box
    from rich.table import Table

    from archsim.exploration.advice import RULE, bound_text
    from archsim.exploration.page import FORMATS_NOTE, LABELS, NOTE

    content = f"the front within {bound_text(result)}, then the best of other policies"
    title = f"{result.network} on {result.trace}: {content}"
    several = any(result.points["format"])
    caption = "\n".join([RULE, NOTE, *([FORMATS_NOTE.replace("Above, loss", "Loss")] if several else [])])
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.title_justify = table.caption_justify = "left"
    for column, head in _stacked({column: label.axis.replace(" (", "\n(") for column, label in LABELS.items()}).items():
        text = column == "policy"
        table.add_column(head, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    for position, row in result.front.iterrows():
        chosen = result.chosen is not None and position == result.chosen.name
        table.add_row(*_folded(row), style="bold" if chosen else None)
    table.add_section()
    for _, row in result.others.iterrows():
        table.add_row(*_folded(row), style="dim")
    return table


def _folded(row: Row) -> list[str]:
    """Return the cells of a point, with each option of its policy on its own line."""
    from archsim.exploration.page import LABELS, cells

    policy, *numbers = _stacked(dict(zip(LABELS, cells(row), strict=True))).values()
    return [policy.replace(",", ",\n"), *numbers]


def _stacked(texts: dict[str, str]) -> dict[str, str]:
    """Put the change of the outputs below the loss, so that a row fits 80 characters."""
    change = texts.pop("output_change")
    return texts | {"metric_loss": f"{texts['metric_loss']}\n{change}"}
