"""Page and text of an advice."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from archsim.advising import figure, words
from archsim.advising.bottlenecks import time_shares
from archsim.advising.formats import format_sentences
from archsim.advising.trials import Trial
from archsim.advising.words import percent
from archsim.escaping import plain_lines
from archsim.report.page import Picture, Section, Table, page_text

if TYPE_CHECKING:
    from archsim.advising.advice import Advice
    from archsim.advising.choice import JudgedPolicy

POLICIES = {
    "none": "computes everything",
    "bnn": "compares signs of weights and inputs (a binary network) and keeps a neuron's last value while they change "
    "little: the paper's scheme; with centre=on inputs lose their means first",
    "ternary": "as bnn, but small numbers count as zero",
    "lowbit": "as bnn, with a few bits per number; with correct=on a kept value is corrected by the predicted change",
    "input-similarity": "rounds inputs to steps of θ and skips those that stay on the same step",
    "delta": "skips inputs that moved by less than θ since they were last used (a delta network); with weighted=on a "
    "move counts by the weights that read it; with tail=B what is skipped goes through weights of B bits",
    "oracle": "knows the true values in advance: a bound that no hardware can reach",
}
"""Each policy in a clause."""


def page(advice: Advice, *, whole: bool) -> str:
    """Return the page, or without `whole` the part that a notebook shows."""
    policies, similar, bounds, *others = advice.sections
    drawn = [
        replace(policies, pictures=[Picture("gains", "What each policy gains", _GAINS, figure.draw_gains(advice))]),
        replace(similar, pictures=[Picture("steps", "Change per step", _SIMILAR, figure.draw_similarity(advice))]),
        replace(bounds, pictures=[Picture("time", "Where the time goes", _TIME, figure.draw_time(advice))]),
    ]
    title = f"Does reuse pay for {advice.subject.name}? {'Yes' if advice.pays else 'No'}"
    return page_text(title, advice.verdict, [*drawn, *others], whole=whole)


_GAINS = "On the sequences that judge; green is the answer."
_SIMILAR = f"0 % is the same again; {percent(words.UNRELATED)} is what unrelated values have."
_TIME = "Means over the dot product units."


def as_text(advice: Advice) -> str:
    """Return verdict, sentences and tables as plain text."""
    lines = [advice.verdict]
    for section in advice.sections:
        lines += ["", section.title, *filter(None, [section.lead])]
        for table in section.tables:
            lines += ["", *_aligned(table), *filter(None, [table.note])]
    return plain_lines("\n".join(lines))


def _aligned(table: Table) -> list[str]:
    rows = [table.columns, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def sections(advice: Advice) -> list[Section]:
    """Return the sections, in the order of the questions that they answer."""
    return [
        Section("Policies", words.data(advice), tables=[_policies(advice), _explained(advice)]),
        Section(
            "How similar consecutive steps are",
            " ".join(words.similarity_sentences(advice)),
            tables=[_layers(advice)],
        ),
        Section("What bounds the machine", " ".join(words.bottleneck_sentences(advice)), tables=[_times(advice)]),
        Section("Which layers profit", " ".join(words.layer_sentences(advice)), tables=_gains(advice)),
        Section(
            "What would help further" if advice.pays else "What would make it pay",
            " ".join(words.remedy_sentences(advice)),
            tables=_remedies(advice),
        ),
        *([Section("Fewer bits", " ".join(format_sentences(advice)))] if advice.formats else []),
    ]


def _policies(advice: Advice) -> Table:
    scored = advice.plain.loss is not None
    columns = ["policy", "θ", "work avoided", "times as fast", "energy saved", "area added"]
    columns += [f"loss of {advice.bound.points or advice.subject.points} (points)"] if scored else []
    columns += ["outputs changed by"]
    rows = [
        ["none", "–", percent(0.0), "1.00", percent(0.0), percent(0.0), *(["0.00"] if scored else []), percent(0.0)]
    ]
    rows += [_policy_row(policy, columns) for policy in advice.policies]
    note = "In brackets: 95 % bootstrap intervals over sequences. A negative loss is a gain. "
    note += "* the search of θ ended there."
    if advice.plain_result.record["speedup_with_head"] is not None:
        note += " Speed and energy include the head."
    return Table("", columns, rows, note)


def _policy_row(policy: JudgedPolicy, columns: list[str]) -> list[str]:
    if policy.trial is None or policy.gains is None:
        return [policy.name, policy.reason, *[""] * (len(columns) - 2)]
    trial, gains = policy.trial, policy.gains
    theta = "–" if trial.threshold is None else f"{trial.threshold:g}{'*' if words.ended(policy) else ''}"
    cells = [policy.name, theta, percent(trial.avoided), f"{gains.speedup:.2f}", percent(gains.energy_saving)]
    return [*cells, percent(gains.more_area), *_costs(trial)]


def _costs(trial: Trial) -> list[str]:
    loss = [] if trial.loss is None else [words.loss_text(trial.loss)]
    return [*loss, words.change_text(trial.change)]


def _explained(advice: Advice) -> Table:
    names = dict.fromkeys(["none", *(policy.name.partition(":")[0] for policy in advice.policies)])
    rows = [[name, _policy_words(name)] for name in names if _policy_words(name)]
    return Table("The policies in one sentence each", ["policy", "what it does"], rows, folded=True)


def _policy_words(name: str) -> str:
    """Return a policy in a clause; an empty text for one of the user's."""
    return POLICIES.get(name.partition(":")[0], "")


def _layers(advice: Advice) -> Table:
    predictors = list(advice.similarities[0].correlations)
    columns = ["layer", "size", "inputs change by", "outputs change by", "inputs that change sign", "never change sign"]
    rows = [
        [
            _layer_name(advice, layer.part, layer.layer),
            layer.size,
            *map(percent, (layer.inputs_change, layer.outputs_change, layer.sign_changes, layer.never_change_sign)),
            *(_correlation(layer.correlations[name]) for name in predictors),
        ]
        for layer in advice.similarities
    ]
    note = "Changes are per step, without reuse. r: correlation of a predictor's change with that of the true product"
    note += " (1: follows it exactly, 0: not at all), the median over neurons."
    return Table("", [*columns, *(f"r of {_foldable(name)}" for name in predictors)], rows, note)


def _foldable(policy: str) -> str:
    """Return a policy's name with spaces where a narrow column may break it."""
    return policy.replace(":", ": ").replace(",", ", ")


def _correlation(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _times(advice: Advice) -> Table:
    before, best = time_shares(advice.plain_result), advice.best
    if best is None or best.result is None:
        return Table("", ["time", "without reuse"], [[cause, percent(share)] for cause, share in before.items()])
    within = time_shares(best.result)
    rows = [
        [cause, percent(before.get(cause, 0.0)), percent(within.get(cause, 0.0))]
        for cause in dict.fromkeys([*within, *before])
    ]
    return Table("", ["time", "without reuse", f"under {_foldable(best.name)}"], rows)


def _gains(advice: Advice) -> list[Table]:
    rows = [
        [
            _layer_name(advice, gain.part, gain.layer),
            percent(gain.time_share),
            percent(gain.avoided),
            f"{gain.speedup:.2f}",
        ]
        for gain in advice.gains
    ]
    columns = ["layer", "share of the time without reuse", "work avoided", "times as fast"]
    return [Table("", columns, rows)] if rows else []


def _remedies(advice: Advice) -> list[Table]:
    rows = [
        [
            remedy.change,
            f"{remedy.after.speedup:.2f}",
            percent(remedy.after.energy_saving),
            f"{remedy.faster:.2f}",
            words.cost_text(advice, remedy.cost),
        ]
        for remedy in advice.remedies
    ]
    columns = ["change", "times as fast", "energy saved", "times as fast as today's machine without reuse", "cost"]
    note = "Each is a simulation; gains are next to the same machine without reuse."
    return [Table("", columns, rows, note)] if rows else []


def _layer_name(advice: Advice, part: str, layer: str) -> str:
    return layer if len({one.part for one in advice.similarities}) == 1 else f"{part} {layer}"
