"""`archsim list` and `archsim show`: what there is, and where each value comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

KINDS = ("networks", "traces", "archs", "policies")


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS))
def list_things(kind: str) -> None:
    """List the networks, traces, architectures or policies that have a name."""
    for name in _names(kind):
        click.echo(name)


@click.command()
@click.argument("name")
def show(name: str) -> None:
    """Show what is behind a name or a file: a machine with the source of each value, a network, a trace, a policy.

    \b
    archsim show epur
    archsim show imdb-lstm
    archsim show my-machine.toml      also a network folder, or a trace file
    """
    from archsim.cli.console import output_console
    from archsim.errors import UnknownNameError

    kinds = [kind for kind in KINDS if name in _names(kind)] or _kinds_of_path(Path(name))
    if not kinds:
        raise UnknownNameError("name", name, {n for kind in KINDS for n in _names(kind)}, also="a file or folder")
    tables = [table for kind in kinds for table in _SHOW[kind](name)]
    console = output_console()
    for table in tables:
        console.print(table)


def _kinds_of_path(path: Path) -> list[str]:
    if path.is_dir():
        return ["networks"]
    if path.is_file():
        return ["archs"] if path.suffix == ".toml" else ["traces"]
    return []


def _names(kind: str) -> list[str]:
    if kind == "networks":
        from archsim.ir.folder import bundled_networks

        return bundled_networks()
    if kind == "traces":
        from archsim.corpora.catalogue import bundled_traces, corpus_traces

        return [*bundled_traces(), *corpus_traces()]
    if kind == "archs":
        from archsim.config.load import bundled_archs

        return bundled_archs()
    from archsim.policies import POLICIES

    return list(POLICIES)


def _show_arch(name: str) -> Iterator[Table]:
    from archsim.config.load import load_arch
    from archsim.config.specs import fields_of
    from archsim.config.technology import load_technology

    arch = load_arch(name)
    rows = [(field, value, *_origin(info)) for field, (value, info) in fields_of(arch).items()]
    yield _table(f"architecture {name}", ("parameter", "value", "unit", "certainty", "source"), rows)
    technology = load_technology(arch.technology)
    actions = [
        (f"{component}.{action}", entry.pj, "pJ", entry.source)
        for component, entries in technology.actions.items()
        for action, entry in entries.items()
    ]
    yield _table(f"technology {technology.name}: actions", ("action", "energy", "unit", "source"), actions)
    static = [(c, e.leakage_mw, e.area_mm2, e.source) for c, e in technology.static.items()]
    yield _table("leakage and area of one instance", ("component", "mW", "mm²", "source"), static)
    standby = technology.dram_standby
    yield _table(
        "main memory standby",
        ("idle mW", "active mW", "refresh mW", "source"),
        [(standby.idle_mw, standby.active_mw, standby.refresh_mw, standby.source)],
    )


def _origin(info: dict[str, str]) -> tuple[str, str, str]:
    return info.get("unit", ""), info.get("certainty", ""), info.get("source", "")


def _show_network(name: str) -> Iterator[Table]:
    from archsim.ir.folder import MANIFEST, load_network, network_folder, read_manifest

    network, manifest = load_network(name), read_manifest(network_folder(name) / MANIFEST)
    embedding, text = network.embedding, network.embedding.encoder if network.embedding else None
    facts: list[tuple[str, object]] = [
        ("description", network.description),
        ("provenance", network.provenance),
        ("takes", network.frontend.name if network.frontend else type(text).__name__.lower() if text else None),
        ("embedding", f"{embedding.table.shape[0]} x {embedding.table.shape[1]}" if embedding else None),
        ("head", manifest.head.kind if manifest.head else None),
        ("metric", network.metric),
        ("corpus", network.corpus),
        *((f"θ for {policy}", theta) for policy, theta in network.thresholds.items()),
        ("neurons per step", network.neurons_per_step),
        ("SHA-256 of all that decides its answers", network.digest),
    ]
    yield _table(f"network {name}", ("", ""), facts)
    roles = ["encoder"] * len(network.encoder) + ["decoder"] * len(network.decoder)
    layers = [
        (y.name, role if network.decoder else None, y.cell.name, y.input_size, y.hidden_size, len(y.directions))
        for y, role in zip(network.layers, roles, strict=True)
    ]
    yield _table("layers", ("layer", "role", "cell", "inputs", "units", "directions"), layers)
    evidence = [
        (policy, found.trace, found.sequences, found.margin, p.max_loss, p.threshold, p.reuse_fraction, p.metric_loss)
        for policy, found in manifest.calibration.items()
        for p in found.points
    ]
    if evidence:
        columns = ("policy", "trace", "sequences", "margin", "bound", "θ", "reuse", "loss")
        yield _table("calibration", columns, evidence)


def _show_trace(name: str) -> Iterator[Table]:
    from archsim.corpora.catalogue import corpus_traces, load_trace

    if name in corpus_traces():
        yield _table(f"trace {name}", ("", ""), [("source", "a corpus read from the folder $ARCHSIM_DATA")])
        return
    trace = load_trace(name)
    labelled = "no" if trace.targets is None else "yes"
    rows = [("kind", trace.kind), ("sequences", len(trace)), ("labelled", labelled)]
    rows += [("description", trace.description), ("provenance", trace.provenance), ("SHA-256", trace.digest)]
    yield _table(f"trace {name}", ("", ""), rows)


def _show_policy(name: str) -> Iterator[Table]:
    from archsim.policies import POLICIES

    policy = POLICIES.get(name)
    rows = [
        ("promise", (policy.__doc__ or "").strip()),
        ("needs θ", policy.needs_threshold),
        ("needs the memoization unit", policy.uses_memo_unit),
        ("code", policy.__module__),
    ]
    yield _table(f"policy {name}", ("", ""), rows)


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("–" if cell is None else str(cell) for cell in row))
    return table


_SHOW = {"networks": _show_network, "traces": _show_trace, "archs": _show_arch, "policies": _show_policy}
