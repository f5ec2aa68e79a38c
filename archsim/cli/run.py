"""Command `archsim run`, which simulates networks with a policy and prints the summary table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsim.cli.options import NamedPath, plugin_option

if TYPE_CHECKING:
    from archsim.experiment.result import Result


SUMMARY_POLICIES = ("bnn", "oracle")
"""Policies that `archsim run` without arguments compares: the paper's predictor and the upper bound of its scheme."""


@click.command()
@click.option(
    "--network", "-n", help="Bundled network, network folder, or ONNX model.  [default: every bundled network]"
)
@click.option("--inputs", type=NamedPath(), help="Feeds of an ONNX model (.npz): INPUT, or INPUT/0, INPUT/1, ...")
@click.option("--trace", "-t", help="Bundled trace, corpus split, or trace file.  [default: the network's own]")
@click.option("--split", help="train, valid, test or all of each network's public corpus in $ARCHSIM_DATA.")
@click.option("--arch", "-a", default="epur", show_default=True, help="Preset or TOML file.")
@click.option(
    "--policy",
    "-p",
    "policies",
    multiple=True,
    help="bnn, oracle, delta, lowbit:bits=2, ...; may be repeated.  [default: bnn; without --network also oracle]",
)
@click.option("--threshold", type=float, help="θ of the policy.  [default: the network's calibrated one]")
@click.option("--precision", help="fp16, fp32, int8 or int4.  [default: that of the machine, fp16 of epur]")
@click.option(
    "--detail",
    default="block",
    show_default=True,
    help="block, or neuron: event by event, same times, 10 s per review.",
)
@click.option("--limit", type=int, help="Use only the first so many sequences.")
@click.option("--seed", type=int, default=0, show_default=True, help="Part of the record's digest.")
@click.option("--json", "json_path", type=NamedPath(), help="Write the records to a file.")
@click.option("--timeline", type=NamedPath(), help="Write Perfetto trace events (one run only).")
@click.option(
    "--sensitivity", is_flag=True, help="Also print the energy saving over the ranges of uncertain constants."
)
@click.option("--verbose", "-v", is_flag=True, help="Also print the use and the energy of each unit.")
@plugin_option
def run(
    network: str | None,
    inputs: Path | None,
    trace: str | None,
    split: str | None,
    policies: tuple[str, ...],
    limit: int | None,
    json_path: Path | None,
    timeline: Path | None,
    sensitivity: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Simulate a baseline machine and one with a reuse policy, and compare them.

    \b
    archsim run
    archsim run --split test --policy bnn --policy oracle
    archsim run --network imdb-lstm --trace imdb-test --limit 200
    archsim run -n imdb-lstm --policy oracle --threshold 0.3 --json oracle.json
    archsim run -n mnmt-lstm --policy bnn --policy lowbit:throttle=off
    archsim run -n imdb-lstm --arch epur-4mib --verbose --sensitivity
    archsim run -n imdb-lstm --limit 1 --timeline run.json    (open in ui.perfetto.dev)
    archsim run -n model.onnx --inputs feeds.npz --policy delta --threshold 0.1
    """
    from archsim.cli.console import output_console, say
    from archsim.cli.onnx_run import run_onnx
    from archsim.cli.outputs import check_outputs, input_files
    from archsim.cli.result_tables import (
        energy_table,
        head_table,
        self_ranged,
        sensitivity_table,
        summary_table,
        unscored,
        utilisation_table,
    )
    from archsim.errors import ConfigError
    from archsim.experiment.result import write_records

    if trace is not None and split is not None:
        raise ConfigError(f"--trace {trace} and --split {split}: need one of them")
    if trace is not None and network is None:
        raise ConfigError(f"--trace {trace}: name the --network that takes it")
    if inputs is not None or (network or "").endswith(".onnx"):
        others = {"--trace": trace, "--split": split, "--timeline": timeline, "--sensitivity": sensitivity or None}
        run_onnx(network, inputs, policies or SUMMARY_POLICIES[:1], limit, json_path, verbose, others, options)
        return
    networks = _bundled() if network is None else [network]
    policies = tuple(dict.fromkeys(policies)) or SUMMARY_POLICIES[: 2 if network is None else 1]
    if timeline is not None and len(networks) * len(policies) != 1:
        raise ConfigError("--timeline shows one run: name its --network, and one --policy if any")
    check_outputs({"--json": json_path, "--timeline": timeline}, input_files(network, trace, options["arch"]))
    results = _simulate_all(networks, policies, trace, split, limit, options)
    for result in results if sensitivity else ():
        lowest, highest = result.sensitivity.lowest.saving, result.sensitivity.highest.saving
        result.record.update(energy_saving_least=lowest, energy_saving_most=highest)
    records = [result.record for result in results]
    if json_path is not None:  # before the tables, because the reader of a pipe may stop
        write_records(records, json_path)
    if timeline is not None:
        results[0].timeline(timeline)
    console = output_console()
    console.show(summary_table(records, with_paper=network is None))
    for line in (*unscored(results), *self_ranged(results)):
        say(line)
    if any(record["head_macs"] for record in records):
        console.show(head_table(records))
    for result in results if verbose else ():
        console.show(utilisation_table(result))
        console.show(energy_table(result))
    for result in results if sensitivity else ():
        console.show(sensitivity_table(result))


def _bundled() -> list[str]:
    from archsim.errors import NetworkError
    from archsim.ir.folder import bundled_networks

    if not bundled_networks():
        raise NetworkError("no bundled networks in this installation: name one with --network")
    return bundled_networks()


def _simulate_all(
    networks: list[str],
    policies: tuple[str, ...],
    trace: str | None,
    split: str | None,
    limit: int | None,
    options: dict[str, Any],
) -> list[Result]:
    """Simulate each network under each policy; `options` are the arguments of `simulate` by name."""
    from archsim.cli.console import progress_bars
    from archsim.corpora.catalogue import load_trace, trace_of
    from archsim.experiment.run_config import resolve
    from archsim.experiment.simulate import simulate_policies
    from archsim.ir.folder import load_network

    loaded = [load_network(name) for name in networks]
    pairs = [(network, (load_trace(trace) if trace else trace_of(network, split)).limit(limit)) for network in loaded]
    # Check every run before the first one starts, because a run may take hours.
    configs = [[resolve(network, inputs, policy=p, **options) for p in policies] for network, inputs in pairs]
    with progress_bars() as reporter:
        return [
            result
            for (network, _), of_network in zip(pairs, configs, strict=True)
            for result in simulate_policies(of_network, reporter(network.name))
        ]
