"""Command `archsim advise`, which says whether reuse pays for a network and its data, and what holds it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsim.cli.options import NamedPath, plugin_option

if TYPE_CHECKING:
    from rich.table import Table

    from archsim.report.page import Table as PlainTable


@click.command()
@click.option("--network", "-n", required=True, help="Bundled network, network folder, or ONNX model.")
@click.option("--trace", "-t", help="Trace to judge on, with targets for a loss.  [default: the network's own]")
@click.option("--inputs", type=NamedPath(), help="Feeds of an ONNX model, a .npz file.")
@click.option("--split", help="train, valid or test of the network's public corpus in $ARCHSIM_DATA.")
@click.option("--max-loss", type=float, help="Largest loss in points of the metric.  [default: 1]")
@click.option(
    "--max-change",
    type=float,
    help="Largest change of the outputs as a fraction, where there is no metric.  [default: 0.05]",
)
@click.option("--policies", "--policy", "-p", multiple=True, help="Policies to compare, separated by spaces.")
@click.option("--arch", "-a", default="epur", show_default=True, help="Preset or TOML file of the machine.")
@click.option("--precision", help="fp16, fp32, int8 or int4.  [default: that of the machine]")
@click.option("--limit", type=int, help="Sequences to take.  [default: as many as take a few minutes]")
@click.option("--html", "html_path", type=NamedPath(), help="Write the advice as one page.")
@click.option("--json", "json_path", type=NamedPath(), help="Write a record per policy to a file.")
@plugin_option
def advise(
    network: str,
    trace: str | None,
    inputs: Path | None,
    split: str | None,
    policies: tuple[str, ...],
    max_loss: float | None,
    max_change: float | None,
    arch: str,
    precision: str | None,
    limit: int | None,
    html_path: Path | None,
    json_path: Path | None,
) -> None:
    """Say whether reuse pays: by which policy, at what loss, and what bounds the machine.

    The first line answers yes or no. θ and the policy are chosen on half of the sequences, drawn by chance, and judged
    on the others.

    \b
    archsim advise --network imdb-lstm --trace imdb-lstm --html advice.html
    archsim advise -n my-network -t my-inputs.npz --max-change 0.02
    ARCHSIM_DATA=~/corpora archsim advise -n ds2-gru --split valid
    archsim advise -n model.onnx --inputs feeds.npz
    """
    from archsim.advising.advise import MAX_CHANGE, MAX_LOSS, POLICIES
    from archsim.advising.advise import advise as find_advice
    from archsim.cli.console import output_console, say, stage_bars
    from archsim.cli.outputs import check_outputs, input_files
    from archsim.errors import ConfigError

    files = {} if network.endswith(".onnx") else input_files(network, trace, arch)
    read = files | {"--network": [Path(network)], "--inputs": [inputs]} if inputs else files
    check_outputs({"--html": html_path, "--json": json_path}, read)
    named = [name for text in policies for name in text.split()] or list(POLICIES)
    if max_loss is not None and max_change is not None:
        raise ConfigError(f"--max-loss {max_loss:g} and --max-change {max_change:g}: need at most one of them")
    if max_loss is None and max_change is None:
        max_loss, max_change = MAX_LOSS, MAX_CHANGE
    subject, data = _subject(network, trace, inputs, split)
    with stage_bars() as on_progress:
        advice = find_advice(
            subject,
            data,
            max_loss=max_loss,
            max_change=max_change,
            arch=arch,
            policies=named,
            limit=limit,
            precision=precision,
            on_progress=on_progress,
        )
    if html_path is not None:
        advice.to_html(html_path)
    if json_path is not None:
        advice.to_json(json_path)
    console = output_console()
    console.print(advice.verdict, style="bold", soft_wrap=True)  # one line, however long
    for section in advice.sections:
        console.print(f"\n{section.title}", style="bold")
        if section.lead:
            console.print(section.lead)
        for table in section.tables:
            console.show(_table(table))
    if html_path is not None:
        say(f"page: {html_path}")


def _subject(network: str, trace: str | None, inputs: Path | None, split: str | None) -> tuple[Any, Any]:
    """Return network and trace, or an ONNX model and its feeds; ConfigError for options that do not go together."""
    from archsim.corpora.catalogue import load_trace, trace_of
    from archsim.errors import ConfigError
    from archsim.ir.folder import load_network

    if network.endswith(".onnx"):
        from archsim.live.onnx_model import OnnxModel

        for option, value in (("--trace", trace), ("--split", split)):
            if value is not None:
                raise ConfigError(f"{option} does not go with an ONNX model, which takes --inputs: leave it out")
        if inputs is None:
            raise ConfigError(f"--network {network}: an ONNX model takes --inputs feeds.npz")
        model = OnnxModel(network)
        return model, model.read_feeds(inputs)
    if inputs is not None:
        raise ConfigError(f"--inputs {inputs}: name the ONNX model that takes them, as --network model.onnx")
    if trace is not None and split is not None:
        raise ConfigError(f"--trace {trace} and --split {split}: need at most one of them")
    loaded = load_network(network)
    return loaded, load_trace(trace) if trace else trace_of(loaded, split)


def _table(table: PlainTable) -> Table:
    """Return a table of the page as one for the console, names to the left and numbers to the right."""
    from rich import box
    from rich.table import Table

    shown = Table(title=table.title or None, caption=table.note or None, box=box.SIMPLE_HEAD, pad_edge=False)
    shown.title_justify = shown.caption_justify = "left"
    for i, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if i == 0 or table.folded else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*row)
    return shown
