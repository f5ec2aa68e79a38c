"""Command `archsim list`, and the names that it lists."""

from __future__ import annotations

import click

from archsim.cli.options import plugin_option

KINDS = ("networks", "traces", "archs", "policies")
LISTED = (*KINDS, "metrics", "machines")
"""Kinds whose names are listed."""


@click.command("list")
@click.argument("kind", type=click.Choice(LISTED))
@plugin_option
def list_things(kind: str) -> None:
    """List the names of networks, traces, architectures, policies, task metrics or machines.

    \b
    archsim list policies
    archsim list policies --plugin mine.py
    """
    from archsim.cli.console import say

    for name in names_of(kind):
        say(name)


def names_of(kind: str) -> list[str]:
    """Return the names of a kind in `LISTED`."""
    if kind == "networks":
        from archsim.ir.folder import bundled_networks

        return bundled_networks()
    if kind == "traces":
        from archsim.corpora.catalogue import bundled_traces, corpus_traces

        return [*bundled_traces(), *corpus_traces()]
    if kind == "archs":
        from archsim.config.load import bundled_archs

        return bundled_archs()
    if kind == "metrics":
        from archsim.task_metrics.metrics import METRICS

        return list(METRICS)
    if kind == "machines":
        from archsim.sim.machines import MACHINES

        return list(MACHINES)
    from archsim.policies import POLICIES

    return list(POLICIES)
