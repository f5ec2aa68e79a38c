"""Command `archsim show`, for what a name or a file holds and the source of each value."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsim.cli.list_ import KINDS, names_of
from archsim.cli.options import plugin_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from archsim.config.arch import ArchSpec
    from archsim.config.technology import TechnologySpec
    from archsim.ir.manifest import CalibrationManifest, ScalesManifest
    from archsim.ir.network import Network
    from archsim.policies import Policy

KINDS_BY_SUFFIX = {".toml": "archs", ".onnx": "models", **dict.fromkeys((".npz", ".h5", ".hdf5"), "traces")}
"""Kind of a file by suffix; any other file is one of weights."""


@click.command()
@click.argument("name")
@plugin_option
def show(name: str) -> None:
    """Show the content of a name or a file: a machine with the source of each value, a network, a trace, a policy.

    \b
    archsim show epur
    archsim show imdb-lstm
    archsim show lowbit:bits=4
    archsim show my-machine.toml      also a network folder, or a trace file
    archsim show model.onnx           what of it is simulated, left outside, or refused and why
    archsim show model.safetensors    the same of a file of weights: the names that archsim import takes as --prefix
    """
    from archsim.cli.console import output_console
    from archsim.errors import UnknownNameError

    plain = name.partition(":")[0]  # options may follow the name of a policy
    kinds = [kind for kind in KINDS if (plain if kind == "policies" else name) in names_of(kind)]
    kinds = kinds or _kinds_of_path(Path(name))
    if not kinds:
        raise UnknownNameError("name", name, {n for kind in KINDS for n in names_of(kind)}, also="a file or folder")
    tables = [table for kind in kinds for table in _SHOW[kind](name)]
    console = output_console()
    for table in tables:
        console.show(table)


def _kinds_of_path(path: Path) -> list[str]:
    from archsim.reading import is_file, is_folder

    if is_folder(path):
        return ["networks"]
    if is_file(path):
        return [KINDS_BY_SUFFIX.get(path.suffix, "weights")]
    return []


def _show_arch(name: str) -> Iterator[Table]:
    from archsim.config.arch import ArchSpec, fields_of
    from archsim.config.dram import load_dram
    from archsim.config.load import load_arch
    from archsim.config.technology import load_technology
    from archsim.energy.dram import command_pj

    arch = load_arch(name)
    known = fields_of(ArchSpec(dram=load_dram(arch.dram.preset)))
    rows = [
        (field, value, *(_origin(info) if known.get(field, (None,))[0] == value else _set_here(info, name)))
        for field, (value, info) in fields_of(arch).items()
    ]
    yield _table(f"architecture {name}", ("parameter", "value", "unit", "certainty", "source"), rows)
    technology = load_technology(arch.technology).at_precision(arch.precision)
    actions = [
        (f"{component}.{action}", entry.pj, "pJ", entry.source)
        for component, entries in technology.actions.items()
        for action, entry in entries.items()
    ]
    yield _table(f"technology {technology.name}: actions", ("action", "energy", "unit", "source"), actions)
    static = [(c, e.leakage_mw, e.area_mm2, e.source) for c, e in technology.static.items()]
    yield _table("leakage and area of one instance", ("component", "mW", "mm²", "source"), static)
    commands = [(action, pj, "pJ") for action, pj in command_pj(arch.dram).items()]
    title = f"main memory {arch.dram.preset}: energy per command, burst, or memory cycle of waiting"
    yield _table(title, ("action", "energy", "unit"), commands)
    yield _area_table(arch, technology)


def _area_table(arch: ArchSpec, technology: TechnologySpec) -> Table:
    """Return the area by component, and the area that each machine's own unit adds."""
    from archsim.energy.parts import area_mm2, parts_of
    from archsim.sim.machines import DEFAULT_MACHINE, all_machines

    machine, baseline = DEFAULT_MACHINE.spec(arch), DEFAULT_MACHINE.baseline(arch)
    areas, parts = area_mm2(machine, technology), parts_of(machine)
    total, plain = math.fsum(areas.values()), math.fsum(area_mm2(baseline, technology).values())
    rows: list[tuple[object, ...]] = [(c, parts[c], f"{a:.4f}", f"{100 * a / total:.2f}") for c, a in areas.items()]
    rows.append(("sum", None, f"{total:.4f}", "100"))
    if total != plain:
        rows.append(("without memoization unit", None, f"{plain:.4f}", f"{100 * plain / total:.2f}"))
        rows.append(("added by it", None, f"{total - plain:.4f}", f"{100 * (total / plain - 1):.2f} more"))
    for other in all_machines():
        spec = other.spec(arch)
        if other is not DEFAULT_MACHINE and other.is_described_by(spec):
            area = math.fsum(area_mm2(spec, technology).values())
            added = f"{area - plain:.4f}", f"{100 * (area / plain - 1):.2f} more"
            rows.append((f"a {other.name} unit in its place adds", None, *added))
    return _table("area", ("component", "instances", "mm², all", "%"), rows)


def _set_here(info: dict[str, str], name: str) -> tuple[str, str, str]:
    """Return unit, certainty and source of a value that a file sets to other than the documented one."""
    return info.get("unit", ""), "", f"set in {name}" if info else ""


def _origin(info: dict[str, str]) -> tuple[str, str, str]:
    return info.get("unit", ""), info.get("certainty", ""), info.get("source", "")


def _show_network(name: str) -> Iterator[Table]:
    from archsim.cli.console import theta_text
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
        *((f"θ for {policy}", theta_text(theta)) for policy, theta in network.thresholds.items()),
        ("neurons per step", network.neurons_per_step),
        ("SHA-256 of everything that affects its results", network.digest),
    ]
    yield _table(f"network {name}", ("", ""), facts)
    roles = ["encoder"] * len(network.encoder) + ["decoder"] * len(network.decoder)
    layers = [
        (y.name, role if network.decoder else None, y.cell.name, y.input_size, y.hidden_size, len(y.directions))
        for y, role in zip(network.layers, roles, strict=True)
    ]
    yield _table("layers", ("layer", "role", "cell", "inputs", "units", "directions"), layers)
    evidence = [
        (
            *(
                policy,
                calibration.trace,
                calibration.sequences,
                calibration.margin,
                p.max_loss if p.max_change is None else f"change {p.max_change:g}",
                _theta_cell(p.threshold, calibration),
                calibration.per,
            ),
            *(p.reuse_fraction, p.metric_loss, p.output_change),
        )
        for policy, calibration in manifest.calibration.items()
        for p in calibration.points
    ]
    if manifest.scales:
        yield scales_table(network, manifest.scales)
    if evidence:
        columns = ("policy", "trace", "sequences", "margin", "bound", "θ", "one θ per", "reuse", "loss", "change")
        yield _table("calibration", columns, evidence)


def scales_table(network: Network, scales: ScalesManifest) -> Table:
    """Return a table of the scales of each layer, and the trace on which they were measured."""
    by_layer = zip(network.layers, scales.inputs, scales.hidden, strict=True)
    rows: list[tuple[Any, ...]] = [(layer.name, x, ", ".join(map(str, h))) for layer, x, h in by_layer]
    columns: tuple[str, ...] = ("layer", "inputs", "hidden values, by direction")
    if scales.largest_inputs is not None and scales.largest_hidden is not None:
        largest = zip(scales.largest_inputs, scales.largest_hidden, strict=True)
        beside = [(f"{x:.6g}", ", ".join(f"{value:.6g}" for value in h)) for x, h in largest]
        rows = [(*row, *more) for row, more in zip(rows, beside, strict=True)]
        columns = (*columns, "largest input", "largest hidden value")
    title = f"mean magnitudes on {scales.sequences} sequences of {scales.trace}, which set the steps of quantisers"
    return _table(title, columns, rows)


def _theta_cell(threshold: Any, calibration: CalibrationManifest) -> str:
    """Return a calibrated θ, marked if it is the largest that was tried."""
    from archsim.cli.console import theta_text
    from archsim.ir.manifest import reaches

    return theta_text(threshold) + (" (search ended)" if reaches(threshold, calibration.highest) else "")


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


def _show_model(name: str) -> Iterator[Table]:
    from archsim.importers.onnx_import import OnnxImport
    from archsim.importers.table import COLUMNS

    table = OnnxImport(name).table()
    yield _table(table.source, COLUMNS, [row.cells for row in table.rows])


def _show_weights(name: str) -> Iterator[Table]:
    from archsim.importers.table import COLUMNS
    from archsim.importers.weight_files import weights_table

    table = weights_table(name)
    yield _table(table.source, COLUMNS, [row.cells for row in table.rows])


def _show_policy(name: str) -> Iterator[Table]:
    from archsim.plugins import origin_of
    from archsim.policies import declaration, policy_from
    from archsim.policies.options import defaults_of, spelled_option

    policy = policy_from(name)
    declared = declaration(policy)
    rows: list[tuple[str, object]] = [
        ("promise", (type(policy).__doc__ or "").strip()),
        ("options", ", ".join(spelled_option(*option) for option in defaults_of(type(policy)).items()) or None),
        ("needs θ", policy.needs_threshold),
        ("decides by", declared.kind.decides),
        ("runs on", declared.machine_name),
        ("needs scales of inputs", declared.needs_scales),
        ("needs means of inputs", declared.needs_means),
        ("needs the memoization unit", policy.uses_memo_unit),
        ("code", origin_of(type(policy))),
    ]
    if policy.uses_memo_unit:
        stated = vars(declared.predictor)
        rows[-1:-1] = [(f"predictor: {key.replace('_', ' ')}", value) for key, value in stated.items()]
    yield _table(f"policy {name}", ("", ""), rows)
    if units := _unit_rows(policy):
        yield _table("its unit on epur", ("component", "instances", "mm², all", "% of the rest"), units)


def _unit_rows(policy: Policy) -> list[tuple[Any, ...]]:
    """Return the area by component of the unit that only the policy's machine has; none where it has none."""
    from archsim.config.arch import ArchSpec
    from archsim.config.technology import load_technology
    from archsim.energy.parts import area_mm2, parts_of
    from archsim.policies import declaration
    from archsim.sim.machines import MACHINES

    machine = MACHINES.get(declaration(policy).machine_name)
    if not machine.own_components:
        return []
    spec = machine.spec_for(ArchSpec(), policy, 1)
    areas, parts = area_mm2(spec, load_technology(spec.technology)), parts_of(spec)
    own = {component: area for component, area in areas.items() if component in machine.own_components}
    own_sum = math.fsum(own.values())
    rest = math.fsum(areas.values()) - own_sum
    cells = [*((c, parts[c], a) for c, a in own.items()), ("sum", None, own_sum)]
    return [(c, n, f"{area:.4f}", f"{100 * area / rest:.2f}") for c, n, area in cells]


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("–" if cell is None else str(cell) for cell in row))
    return table


_SHOW = {
    "networks": _show_network,
    "traces": _show_trace,
    "archs": _show_arch,
    "policies": _show_policy,
    "models": _show_model,
    "weights": _show_weights,
}
