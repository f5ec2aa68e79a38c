"""Make the table of number formats and reuse policies on the bundled networks and those of others, and its figure.

ARCHSIM_DATA=DIR python scripts/wild/formats.py -o formats

Half of the sequences choose θ, the other half judges; a policy may cost one point of a bundled network's metric, or the
bound of a network of others, next to the same format without reuse. OUTPUT gets a file per network and format, then
formats.csv, formats.md, formats.svg and formats.png. A run that was interrupted goes on after the last file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import judging
import numpy as np
import pandas as pd
from judging import NO_GAINS, NONE, Judge, Row, opened, wheels_option
from table import NETWORKS, POLICIES, markdown

import archsim
from archsim.cli.exit import exit_code
from archsim.corpora.catalogue import trace_of
from archsim.files import make_folder, write_whole
from archsim.inference.comparison import output_change
from archsim.inference.precision_change import run_without_reuse, squares_between
from archsim.ir.folder import bundled_networks
from archsim.report.figures.tradeoff import pareto
from archsim.report.style import COLOURS, legend_below, panels, series_styles, styled

FORMATS = ("fp16", "int8", "int4")
SEQUENCES = {"ds2-gru": 100, "eesen-bilstm": 100}
"""Strings of digits. As few as `advise` takes of such long sequences would let error rates jump by five points."""
OVER_FP16 = ("speedup_beside_fp16", "energy_saving_beside_fp16")
FIGURES = {
    **{"avoided": "%", "loss": "", "loss_beside_fp16": "", "output_change": "%", "change_by_format": "%"},
    **{"speedup": "x", "energy_saving": "%", OVER_FP16[0]: "x", OVER_FP16[1]: "%"},
}
"""Columns of figures, with their units in the table."""
HEADER = (
    *("network", "format", "policy", "θ", "avoided", "loss by reuse", "loss beside fp16", "outputs changed by reuse"),
    *("by the format", "speedup by reuse", "energy saved by reuse", "speedup beside fp16", "energy saved beside fp16"),
)

MEANS = {
    **{"format": "", "policy": "", "has a θ": "", "avoided": "avoided"},
    **{"energy saved by reuse": "energy_saving", "speedup by reuse": "speedup"},
    **{"energy saved beside fp16": OVER_FP16[1], "speedup beside fp16": OVER_FP16[0]},
}
"""Columns of the tables of means, with the figure in each."""


def bundled_rows(name: str, precision: str, policies: list[str], args: argparse.Namespace) -> list[Row]:
    """Return the rows of a bundled network in a format."""
    network, limit = archsim.load_network(name), args.limit or SEQUENCES.get(name)
    trace = trace_of(network, args.split)
    advice = archsim.advise(network, trace, precision=precision, policies=policies, limit=limit)
    alone = next((one for one in advice.formats if one.name == precision), None)
    lost, changed = (alone.loss.value, alone.change.value) if alone and alone.loss else (0.0, 0.0)
    rows = []
    for record in advice.records():
        row = {"avoided": record["macs_avoided_fraction"], "loss": record["metric_loss"], "change_by_format": changed}
        row |= {key: record[key] for key in ("policy", "threshold", "output_change", "speedup", "energy_saving")}
        row |= {key: record[key] for key in ("energy_j", "time_s")}
        if row["threshold"] is None:  # no θ within the bound: nothing is reused
            row |= NO_GAINS
        # The same sequences judge both, so the losses in points of the metric add up.
        rows.append(row | {"loss_beside_fp16": None if row["loss"] is None else lost + row["loss"]})
    return rows


def foreign_rows(name: str, precision: str, policies: list[str], args: argparse.Namespace) -> list[Row]:
    """Return the rows of a network of others in a format."""
    with opened(NETWORKS[name], args.wheels) as network:
        network.sequences = network.sequences[: args.limit]
        judge = Judge(network, precision)
        squares = []
        for part in judge.plain.called:
            own = replace(part.network, scales=judge.scales[part.name])
            runs = [run_without_reuse(own, part.trace, number_format) for number_format in ("fp16", precision)]
            squares.append(squares_between(*runs))
        changed = output_change(np.concatenate(squares))
        rows = [{"loss": None} | judge.row(policy) | {"change_by_format": changed} for policy in (NONE, *policies)]
        rows[0]["loss"] = 0.0  # of reuse, where the row has that next to the package's own runtime
        return rows


def rows_of(name: str, precision: str, args: argparse.Namespace) -> list[Row]:
    """Return the rows of a network in a format; those in its file stay if they are of the same settings."""
    path = args.output / f"{name}-{precision}.json"
    scripts = hashlib.sha256(Path(judging.__file__).read_bytes() + Path(__file__).read_bytes()).hexdigest()
    settings = {"archsim": archsim.__version__, "scripts": scripts, "split": args.split, "limit": args.limit}
    if name in bundled_networks():
        settings["network"] = archsim.load_network(name).digest
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    rows = {row["policy"]: row for row in kept["rows"]} if kept.get("settings") == settings else {}
    missing = [policy for policy in POLICIES if policy not in rows and policy != NONE]
    if missing:
        print(f"{name} in {precision}: {', '.join(missing)}", file=sys.stderr)
        made = (foreign_rows if name in NETWORKS else bundled_rows)(name, precision, missing, args)
        rows = {row["policy"]: row for row in made} | rows
        kept = {"settings": settings, "rows": [rows[policy] for policy in POLICIES]}
        with write_whole(path) as temporary:
            temporary.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    return [{"network": name, "format": precision} | row for row in kept["rows"]]


def beside_fp16(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one network with gains next to fp16 without reuse."""
    plain = rows[rows["policy"] == NONE].set_index("format")[["time_s", "energy_j"]].astype(float)
    own, base = plain.loc[rows["format"]].reset_index(drop=True), plain.loc["fp16"]
    rows = rows.reset_index(drop=True)
    speedup = rows["speedup"].astype(float) * base["time_s"] / own["time_s"]
    saving = 1 - (1 - rows["energy_saving"].astype(float)) * own["energy_j"] / base["energy_j"]
    return rows.assign(**dict(zip(OVER_FP16, (speedup, saving), strict=True)))


def shown(row: pd.Series[Any], key: str, unit: str = "") -> str:
    """Return a figure of a row as a cell, a share in percent; a dash where the policy has no θ within the bound."""
    if pd.isna(row[key]) or pd.isna(row["loss"]):
        return "–"
    return f"{100 * row[key]:.0f} %" if unit == "%" else f"{row[key] + 0.0:.2f}{unit}"


def means(rows: pd.DataFrame, networks: list[str]) -> str:
    """Return means over some networks in Markdown; a policy without a θ for a network counts as no reuse there."""
    own = rows[rows["network"].isin(networks)]
    lines = [list(MEANS), ["---"] * len(MEANS)]
    for name in FORMATS:
        for policy in POLICIES:
            of = own[(own["policy"] == policy) & (own["format"] == name)]
            usable = "" if policy == NONE else f"{of['loss'].notna().sum()} of {len(of)}"
            share, saved, speedup, saved_16, speedup_16 = (
                of[key].astype(float).mean() for key in MEANS.values() if key
            )
            by_reuse = [f"{100 * share:.0f} %", f"{100 * saved:.1f} %", f"{speedup:.2f}x"]
            lines.append([name, f"`{policy}`", usable, *by_reuse, f"{100 * saved_16:.1f} %", f"{speedup_16:.2f}x"])
    return f"Means of {', '.join(networks)}:\n\n{markdown(lines)}"


def page(rows: pd.DataFrame) -> str:
    """Return the tables in Markdown: means of either kind of network, then every row."""
    names = list(dict.fromkeys(rows["network"]))
    groups = [[name for name in names if (name in NETWORKS) is foreign] for foreign in (True, False)]
    lines = [list(HEADER), ["---"] * len(HEADER)]
    for _, row in rows.iterrows():
        theta = "" if pd.isna(row["threshold"]) else f"{row['threshold']:g}"
        cells = [f"`{row['network']}`", row["format"], f"`{row['policy']}`", theta]
        lines.append(cells + [shown(row, key, unit) for key, unit in FIGURES.items()])
    return "\n".join([*(means(rows, group) for group in groups if group), markdown(lines)])


def draw(rows: pd.DataFrame, folder: Path) -> None:
    """Draw energy over loss, both next to fp16 without reuse; the line joins what no other beats in both."""
    names = list(dict.fromkeys(rows["network"]))
    with styled():
        figure, axes = panels(len(names), columns=3, width=3.6, height=2.8)
        styles = series_styles(POLICIES)
        for axis, name in zip(axes, names, strict=True):
            own = rows[(rows["network"] == name) & rows["loss"].notna()]
            points = pd.DataFrame({"x": own["loss_beside_fp16"], "y": 100 * own[OVER_FP16[1]]}, dtype=float)
            for (policy, number_format), at in points.groupby([own["policy"], own["format"]], sort=False):
                colour, marker = styles[policy].colour, "osD"[FORMATS.index(number_format)]
                # Colours repeat after eight policies, which are hollow from there on.
                inside = colour if POLICIES.index(policy) < len(COLOURS) else "none"
                label = f"{policy} in {number_format}"
                axis.scatter(at["x"], at["y"], facecolors=inside, edgecolors=colour, marker=marker, label=label)
            front = pareto(points[own["policy"] != "oracle"])
            axis.plot(front["x"], front["y"], color="black", linewidth=1, zorder=1)
            axis.set(title=name, xlabel="loss beside fp16", ylabel="energy saved beside fp16 (%)")
        legend_below(figure, axes)
        for ending in ("svg", "png"):
            figure.savefig(folder / f"formats.{ending}")


def main() -> None:
    """Judge the networks in all formats, and write table and figure when all of them are done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*bundled_networks(), *NETWORKS]
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    parser.add_argument("--networks", nargs="+", choices=everything, default=everything)
    parser.add_argument("--split", help="split of the corpora of bundled networks (default: the bundled traces)")
    parser.add_argument("--limit", type=int, help="sequences per network")
    wheels_option(parser)
    args = parser.parse_args()
    make_folder(args.output)
    rows = pd.concat(
        [
            beside_fp16(pd.DataFrame([row for precision in FORMATS for row in rows_of(name, precision, args)]))
            for name in dict.fromkeys(args.networks)
        ]
    )
    columns = ["network", "format", "policy", "threshold", *FIGURES, "energy_j", "time_s"]
    with write_whole(args.output / "formats.csv") as temporary:
        rows.to_csv(temporary, columns=columns, index=False)
    with write_whole(args.output / "formats.md") as temporary:
        temporary.write_text(page(rows), "utf-8")
    draw(rows, args.output)
    print(page(rows), end="")


if __name__ == "__main__":
    sys.exit(exit_code(main, "formats"))
