"""Command `archsim check-policy`, which runs the contract suite on a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archsim.cli.options import plugin_option

if TYPE_CHECKING:
    from rich.table import Table

    from archsim.contract import CheckResult

MARKS = {True: "passed", False: "FAILED", None: "–"}


@click.command("check-policy")
@click.argument("policy")
@click.option("--threshold", type=float, help="θ to check it at.  [default: one that saves about half of the work]")
@plugin_option
def check(policy: str, threshold: float | None) -> int:
    """Check that a policy keeps what all policies promise, on small random networks; exit with 1 if it does not.

    POLICY is a class in a file or in an installed module, or the name of a policy.

    \b
    archsim check-policy mine.py:EveryFourth
    archsim check-policy my_package.policies:EveryFourth
    archsim check-policy every:period=8 --plugin mine.py
    archsim check-policy bnn
    """
    from archsim.cli.console import output_console, say
    from archsim.contract import check_policy, find_policy

    results = check_policy(find_policy(policy), threshold)
    output_console().show(_table(policy, results))
    counts = {passed: sum(result.passed is passed for result in results) for passed in MARKS}
    say(f"{counts[True]} of {len(results)} passed, {counts[False]} failed, {counts[None]} not checked")
    return 1 if counts[False] else 0


def _table(policy: str, results: list[CheckResult]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=f"policy {policy}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("check", "promise", "", "how"):
        table.add_column(column, overflow="fold")
    for result in results:
        style = "bold" if result.passed is False else None
        table.add_row(result.name, result.promise, MARKS[result.passed], result.words, style=style)
    return table
