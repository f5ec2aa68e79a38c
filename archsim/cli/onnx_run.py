"""Run of an ONNX model end to end, for `archsim run --network model.onnx --inputs feeds.npz`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def run_onnx(
    network: str | None,
    inputs: Path | None,
    policies: tuple[str, ...],
    limit: int | None,
    json_path: Path | None,
    verbose: bool,
    unused: Mapping[str, object],
    options: Mapping[str, Any],
) -> None:
    """Run a model under each policy; print time and energy of its recurrent nodes, and how far its outputs move.

    limit: calls to run; None for all. unused: options of other networks, which are refused if they are given.
    options: arguments of a run by name: arch, threshold, precision, detail, seed.
    """
    from archsim.cli.console import output_console, say
    from archsim.cli.outputs import check_outputs
    from archsim.cli.result_tables import energy_table, summary_table, utilisation_table
    from archsim.config.load import load_arch
    from archsim.errors import NetworkError
    from archsim.experiment.result import write_records
    from archsim.live.onnx_model import OnnxModel, differences
    from archsim.live.result import SumResult

    path, feeds_path = _checked(network, inputs, limit, unused)
    precision = options["precision"] or load_arch(options["arch"]).precision
    check_outputs({"--json": json_path}, {"--network": [path], "--inputs": [feeds_path]})
    model = OnnxModel(path)
    feeds = model.read_feeds(feeds_path)[:limit]
    runs = {policy: model.run(feeds, policy, options["threshold"], precision) for policy in policies}
    results = {
        policy: run.simulate(options["arch"], options["detail"], options["seed"]) for policy, run in runs.items()
    }
    named = {"network": path.name, "trace": feeds_path.name}  # a part's own name says less than the model's
    records = [result.record | named for result in results.values()]
    if json_path is not None:
        write_records(records, json_path)
    console = output_console()
    console.show(summary_table(records, with_paper=False))
    plain = model.run(feeds, "none", precision=precision, compare=False).outputs
    columns = {f"changed by {policy}": differences(run.outputs, plain) for policy, run in runs.items()}
    try:
        columns["fp32 without reuse, from ONNX Runtime's"] = model.difference(feeds)
    except NetworkError as error:
        say(f"ONNX Runtime alone does not run this model, so there is nothing to compare outputs with: {error}")
    console.show(_outputs_table(columns))
    for part in model.parts:
        for node in part.nodes:
            for note in node.notes:
                say(f"{node.name}: {note}")
    for row in model.table.rows:
        if row.outcome == "left outside" and row.note:
            say(f"{row.part} {row.kind}, left outside: {row.note}")
    for result in results.values() if verbose else ():
        for of_part in result.parts.values() if isinstance(result, SumResult) else [result]:
            console.show(utilisation_table(of_part))
            console.show(energy_table(of_part))


def _checked(
    network: str | None, inputs: Path | None, limit: int | None, unused: Mapping[str, object]
) -> tuple[Path, Path]:
    """Return the paths of model and feeds; raise ConfigError for options that do not go together."""
    from archsim.errors import ConfigError

    if network is None or not network.endswith(".onnx"):
        raise ConfigError(f"--inputs {inputs}: name the ONNX model that takes them, as --network model.onnx")
    if inputs is None:
        folder = f"archsim import {network} -o FOLDER makes a network of its recurrent nodes, which takes a --trace"
        raise ConfigError(f"--network {network}: an ONNX model takes --inputs feeds.npz; {folder}")
    for option, value in unused.items():
        if value is not None:
            raise ConfigError(f"{option} does not go with an ONNX model, which takes --inputs: leave it out")
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit}: need at least 1 call")
    return Path(network), inputs


def _outputs_table(columns: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Return how far each output of the model moves, in one column per cause."""
    from rich import box
    from rich.table import Table

    from archsim.cli.console import percent

    table = Table(title="outputs of the model", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("output", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    for name in next(iter(columns.values())):
        cells = (difference[name] for difference in columns.values())
        table.add_row(name, *("–" if cell is None else percent(cell, digits=4) for cell in cells))
    return table
