"""Advice as an object: its verdict, its figures, its page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from archsim.advising.bottlenecks import LayerGain
from archsim.advising.choice import Bound, JudgedPolicy
from archsim.advising.formats import FormatGain
from archsim.advising.layers import LayerSimilarity
from archsim.advising.remedies import Remedy
from archsim.advising.subjects import Subject
from archsim.advising.trials import AnyResult, Cost, Trial
from archsim.config.arch import ArchSpec
from archsim.experiment.record import Record
from archsim.experiment.result import write_records
from archsim.files import write_whole

if TYPE_CHECKING:
    from archsim.report.page import Section


@dataclass(frozen=True, eq=False, repr=False)
class Advice:
    """Answer to whether reuse pays for a network and its data; `print` shows it, and a notebook draws it."""

    subject: Subject
    arch: ArchSpec
    bound: Bound
    plain: Trial
    """Run without reuse on the judging half."""
    plain_result: AnyResult
    policies: tuple[JudgedPolicy, ...]
    """Every policy compared, at the θ that was chosen for it."""
    similarities: tuple[LayerSimilarity, ...]
    gains: tuple[LayerGain, ...] = ()
    """Gain of each layer under `best`."""
    remedies: tuple[Remedy, ...] = ()
    """Changes of machine or bound that were simulated, those that do not help included."""
    formats: tuple[FormatGain, ...] = ()
    """Number formats of fewer bits, alone and with `best`; none on a machine that is not of fp16."""

    @property
    def ranked(self) -> list[JudgedPolicy]:
        """Policies that hardware can have and that have a θ, by energy × time × area on the choosing half."""
        return sorted((p for p in self.policies if p.real and p.trial is not None), key=lambda p: p.rank)

    @property
    def chosen(self) -> JudgedPolicy | None:
        """First policy of `ranked` that pays on the judging half; None where the answer is no."""
        return next((policy for policy in self.ranked if policy.pays), None)

    @property
    def pays(self) -> bool:
        """Whether the answer is yes."""
        return self.chosen is not None

    @property
    def best(self) -> JudgedPolicy | None:
        """Chosen policy, or else the first of `ranked`; None if no policy has a θ within the bound."""
        return self.chosen or next(iter(self.ranked), None)

    @cached_property
    def verdict(self) -> str:
        """Answer in one line, beginning with YES or NO."""
        from archsim.advising.words import verdict

        return verdict(self)

    @cached_property
    def sections(self) -> list[Section]:
        """Sections of the page, in the order of the questions."""
        from archsim.advising.page import sections

        return sections(self)

    def __str__(self) -> str:
        from archsim.advising.page import as_text

        return as_text(self)

    def __repr__(self) -> str:
        return f"<Advice on {self.subject.name}: {self.verdict}>"

    def _repr_html_(self) -> str:
        from archsim.advising.page import page

        return page(self, whole=False)

    def to_html(self, path: str | Path) -> None:
        """Write one self-contained page, figures included."""
        from archsim.advising.page import page

        with write_whole(path) as temporary:
            temporary.write_text(page(self, whole=True), "utf-8")

    def to_json(self, path: str | Path) -> None:
        """Write `records` as one JSON list."""
        write_records(self.records(), path)

    def records(self) -> list[Record]:
        """Return a flat record per policy, `none` first: the keys of a run's record on the judging half, and more.

        `recommended`, `pays`, `reason` (why there is no θ), the ends of `output_change`'s interval, and `verdict`.
        """
        none = self._record("none", self.plain, self.plain_result)
        rows = [none | {"recommended": False, "pays": False, "reason": None}]
        for policy in self.policies:
            record = dict.fromkeys(none) | {key: none[key] for key in ("network", "trace", "arch")}
            record |= {"policy": policy.name, "precision": none["precision"], "verdict": self.verdict}
            if policy.trial is not None and policy.result is not None:
                record = self._record(policy.name, policy.trial, policy.result)
            more = {"recommended": policy is self.chosen, "pays": policy.pays, "reason": policy.reason or None}
            rows.append(record | more)
        return rows

    def _record(self, name: str, trial: Trial, result: AnyResult) -> Record:
        named = {"network": self.subject.name, "trace": self.subject.trace_name, "policy": name}
        record = result.record | named | {"wall_s": None}  # equal inputs give equal bytes
        record |= _measured("output_change", trial.change)
        if trial.loss is not None:
            record |= {"metric": self.subject.points} | _measured("metric_loss", trial.loss)
        return record | {"verdict": self.verdict}


def _measured(key: str, cost: Cost) -> Record:
    low, high = cost.interval or (None, None)
    return {key: None if math.isnan(cost.value) else cost.value, f"{key}_low": low, f"{key}_high": high}
