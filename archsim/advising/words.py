"""Sentences of an advice, which follow from its figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from archsim.advising.bottlenecks import GATE, HEAD, SERIAL, WEIGHTS, results_of, time_shares
from archsim.advising.choice import GRID, Gains, JudgedPolicy
from archsim.advising.layers import LayerSimilarity
from archsim.advising.remedies import LOOSER, NO_GAINS
from archsim.advising.trials import Cost
from archsim.report.labels import Label
from archsim.sums import mean
from archsim.units import MIB

if TYPE_CHECKING:
    from archsim.advising.advice import Advice
    from archsim.experiment.result import Result

LARGE = 0.1
"""Share of the time from which on a cause gets a sentence."""
UNPROFITABLE = 1.05
"""Speedup of a layer below which it does not profit."""
RULE_OF_THREE = 3.0
"""Events that may happen on average, with 95 % confidence, where none was seen (Hanley, Lippman-Hand, JAMA 1983)."""
FEW = 20
"""Sequences below which a bootstrap interval is rough."""
UNRELATED = math.sqrt(2)
"""Change between two values that have nothing in common but their size."""


def verdict(advice: Advice) -> str:
    """Return the answer in one line: YES with policy, gains and loss, or NO with the reason."""
    chosen = advice.chosen
    return _no(advice) if chosen is None else _yes(advice, chosen)


def _yes(advice: Advice, chosen: JudgedPolicy) -> str:
    assert chosen.trial is not None and chosen.gains is not None
    cost = cost_text(advice, advice.bound.cost(chosen.trial))
    answer = f"YES, by {named(chosen)}: {gains_text(chosen.gains)}, {cost} ({judged_on(advice)})."
    interval = advice.bound.cost(chosen.trial).interval
    if interval is not None and interval.high > advice.bound.limit:
        answer += f" The interval reaches beyond {bound_text(advice)}: more sequences would tell."
    elif advice.subject.unit == "sequence" and advice.bound.points is not None and interval == (0.0, 0.0):
        unseen = RULE_OF_THREE * 100 / len(advice.subject.halves.judging)
        answer += f" No answer changed, but so few sequences cannot show a loss below {_points(unseen)}."
    return answer


def _no(advice: Advice) -> str:
    best, why = advice.best, cause(advice) + _even_the_oracle(advice)
    if best is None:
        nearest = min(advice.policies, key=_nearness)
        return f"NO: no policy stays within {bound_text(advice)}; with {nearest.name} {nearest.reason}{why}."
    assert best.trial is not None and best.gains is not None
    cost = cost_text(advice, advice.bound.cost(best.trial))
    if best.gains.pays:
        beyond = f"beyond {bound_text(advice)}, on {judged_on(advice)}"
        interval = advice.bound.cost(best.trial).interval
        unsure = interval is not None and interval.low <= advice.bound.limit
        more = " The interval holds the bound: more sequences would tell." if unsure else ""
        return f"NO: the best policy, {named(best)}, is {gains_text(best.gains)}, but {cost}, {beyond}{why}.{more}"
    return f"NO: within {bound_text(advice)} the best policy, {named(best)}, is {gains_text(best.gains)}, {cost}{why}."


def _even_the_oracle(advice: Advice) -> str:
    """Return a clause on the bound of the scheme, where that does not pay either."""
    for policy in advice.policies:
        if not policy.real and policy.gains is not None and not policy.gains.pays:
            return f"; even the {policy.name}, which no hardware can have, is only {gains_text(policy.gains)}"
    return ""


def _nearness(policy: JudgedPolicy) -> tuple[bool, float]:
    """Return a sort key: hardware's policies first, then those of the least cost."""
    costs = [policy.choice.bound.cost(trial).value for trial in policy.choice.trials.values()]
    known = [cost for cost in costs if not math.isnan(cost)]
    return not policy.real, min(known, default=math.inf)


def cause(advice: Advice) -> str:
    """Return the largest reason for small gains as a clause, or an empty text."""
    shares = time_shares(advice.plain_result)
    if shares.get(HEAD, 0) > 0.5:
        return f"; the head, which is not recurrent, takes {percent(shares[HEAD])} of the time without reuse"
    if shares.get(WEIGHTS, 0) > 0.5:
        return f"; {percent(shares[WEIGHTS])} of the time without reuse is waiting for weights from main memory"
    first = advice.similarities[0]
    if first.inputs_change > 0.5:
        return f"; consecutive inputs differ by {percent(first.inputs_change)} ({_scale_of_change()})"
    return ""


def _scale_of_change() -> str:
    return f"{percent(UNRELATED)} is what unrelated inputs have"


def named(policy: JudgedPolicy) -> str:
    """Return a policy's name with its θ."""
    theta = None if policy.trial is None else policy.trial.threshold
    return policy.name if theta is None else f"{policy.name} at θ = {theta:g}"


def gains_text(gains: Gains) -> str:
    """Return speedup and energy in words."""
    saving = gains.energy_saving
    energy = f"{percent(saving)} less energy" if saving >= 0 else f"{percent(-saving)} more energy"
    return f"{gains.speedup:.2f} times as fast with {energy}"


def bound_text(advice: Advice) -> str:
    """Return the bound in words."""
    bound = advice.bound
    if bound.points is None:
        return f"a change of the outputs by {percent(bound.limit)}"
    return f"a loss of {_points(bound.limit)} of {bound.points}"


def cost_text(advice: Advice, cost: Cost) -> str:
    """Return a cost with its interval in words."""
    if advice.bound.points is None:
        return f"changing the outputs by {change_text(cost)}"
    return f"at a loss of {loss_text(cost)} points of {advice.bound.points}"


def loss_text(cost: Cost) -> str:
    """Return a loss in points with its interval, as `0.30 [-0.10, 0.70]`."""
    value, interval = f"{cost.value + 0.0:.2f}", cost.interval
    return value if interval is None else f"{value} [{interval.low + 0.0:.2f}, {interval.high + 0.0:.2f}]"


def change_text(cost: Cost) -> str:
    """Return a change with its interval in percent, a dash where it does not apply."""
    if math.isnan(cost.value):
        return "–"
    value, interval = percent(cost.value), cost.interval
    if interval is None:
        return value
    return f"{value} [{_number(100 * interval.low)}, {_number(100 * interval.high)}]"


def judged_on(advice: Advice) -> str:
    """Return the data behind a figure in words."""
    halves, unit = advice.subject.halves, advice.subject.unit
    n = len(halves.judging)
    if not halves.apart:
        return f"{n} {unit}, the one that θ was chosen on, so the loss is too optimistic"
    return f"{n} {unit}{'s' if n > 1 else ''} that θ was not chosen on"


def data(advice: Advice) -> str:
    """Return sentences on the sequences used."""
    subject = advice.subject
    halves, unit = subject.halves, subject.unit
    used = len(set(halves.choosing) | set(halves.judging))
    some = f"{used} of {subject.n_given} {unit}s" if used < subject.n_given else f"{used} {unit}{'s' * (used > 1)}"
    how = (
        f"Of {some}, one of each two served to choose θ and to rank the policies; all figures are of the others."
        if halves.apart
        else f"There is only {some}, so θ was chosen on what it is judged on. Give several to have them apart."
    )
    one_answer = 100 / len(halves.choosing)
    if advice.bound.points == "accuracy" and one_answer > advice.bound.limit:
        how += (
            f" They are few for this bound: one wrong answer is {_points(one_answer)}, so one may stop the search of θ."
        )
    rough = f" With fewer than {FEW} of them, intervals are rough." if len(halves.judging) < FEW else ""
    return f"{how}{rough} θ is the largest tried within {bound_text(advice)}. {subject.outside}".strip()


def sign_sentences(layers: tuple[LayerSimilarity, ...]) -> list[str]:
    """Return a sentence per layer of whose inputs a binary predictor sees little."""
    found, unless = [], "unless it centres them (bnn:centre=on)"
    for layer in layers:
        if layer.never_change_sign == 1:
            blind = "no input ever changes sign, so a binary predictor sees nothing of these inputs"
            found.append(f"{layer.layer}: {blind} {unless}.")
        elif layer.never_change_sign >= 0.5:
            share = percent(layer.never_change_sign)
            blind = f"{share} of the inputs never change sign; a binary predictor sees nothing of them"
            found.append(f"{layer.layer}: {blind} {unless}.")
    return found


def similarity_sentences(advice: Advice) -> list[str]:
    """Return sentences on how similar consecutive steps are."""
    first = advice.similarities[0]
    if math.isnan(first.inputs_change):
        return ["No sequence has two steps, so nothing can be reused."]
    outputs = mean(layer.outputs_change for layer in advice.similarities if not math.isnan(layer.outputs_change))
    return [
        f"From one step to the next the inputs of the network change by {percent(first.inputs_change)}, the outputs of "
        f"its layers by {percent(outputs)} on average: 0 % is the same again, {_scale_of_change()}.",
        *sign_sentences(advice.similarities),
    ]


def bottleneck_sentences(advice: Advice) -> list[str]:
    """Return a sentence per cause that takes a noticeable share of the time."""
    policy = advice.best
    result = advice.plain_result if policy is None or policy.result is None else policy.result
    under = "without reuse" if policy is None else f"under {policy.name}"
    shares, found = time_shares(result), []
    if shares.get(WEIGHTS, 0) >= LARGE:
        found.append(f"{percent(shares[WEIGHTS])} of the time {under} is waiting for weights. {_refetches(advice)}")
    if shares.get(GATE, 0) >= LARGE:
        found.append(
            f"{percent(shares[GATE])} of the time {under} units wait for the slowest gate: gates reuse unequally, and "
            "a step ends with the last one."
        )
    if shares.get(HEAD, 0) >= LARGE:
        found.append(f"{percent(shares[HEAD])} of the time {under} is the head, which no policy here makes faster.")
    if shares.get(SERIAL, 0) >= LARGE:
        found.append(
            f"{percent(shares[SERIAL])} of the time {under} is the end of steps: each waits for the one before, so "
            "small layers gain less than the work they leave out."
        )
    return found or [f"No cause but the arithmetic itself takes a tenth of the time {under}."]


def _refetches(advice: Advice) -> str:
    """Return sentences on how often weights are fetched, from the bytes that main memory moved."""
    record = advice.plain_result.record
    steps = record["steps"] / record["sequences"]
    weights = sum(_weight_bytes(result) for result in results_of(advice.plain_result))
    per_sequence = record["dram_bytes"] / record["sequences"]
    moved = f"Main memory moves {per_sequence / MIB:.3g} MiB per sequence, for {weights / MIB:.3g} MiB of weights"
    if per_sequence < weights / 2:
        return f"{moved}: they stay on chip, and there are few sequences to share the first fetch."
    short = "short " if steps < 100 else ""
    return f"{moved}: they are fetched again for each {short}sequence of {steps:.3g} steps on average."


def _weight_bytes(result: Result) -> int:
    n_weights = sum(s.neurons_per_step * s.n_inputs for s in result.activity.shapes)
    return result.simulated.arch.numbers.weight_bytes(n_weights)


def layer_sentences(advice: Advice) -> list[str]:
    """Return a sentence on the layers that do not profit."""
    poor = [gain for gain in advice.gains if gain.speedup < UNPROFITABLE]
    if not advice.gains:
        return ["No policy has a θ within the bound, so no layer profits."]
    if not poor:
        return [f"All layers profit under {advice.best.name if advice.best else ''}."]
    names = ", ".join(f"{gain.layer} ({gain.speedup:.2f} times as fast)" for gain in poor)
    return [f"These layers do not profit: {names}."]


def remedy_sentences(advice: Advice) -> list[str]:
    """Return a sentence per change that helps by simulation, or that none does."""
    found = []
    for remedy in advice.remedies:
        if remedy.helps:
            pays = " Then it pays." if remedy.after.pays and not remedy.before.pays else ""
            cost = cost_text(advice, remedy.cost)
            now = "no θ is within the bound" if remedy.before == NO_GAINS else gains_text(remedy.before)
            found.append(
                f"With {remedy.change}, {remedy.policy} is {gains_text(remedy.after)}, {cost} (now {now}).{pays}"
            )
    if found:
        return found
    if advice.remedies:
        return ["Nothing that was tried helps noticeably."]
    looser = f"a bound {LOOSER:g} times as wide allows no larger θ"
    if advice.best is None:
        return [f"Nothing was simulated: {looser}."]
    return [f"Nothing was simulated: no memory and no gate takes a twentieth of the time, and {looser}."]


def ended(policy: JudgedPolicy) -> bool:
    """Return whether the search ended at its largest θ, because a larger one may fit."""
    return policy.trial is not None and policy.trial.threshold == GRID.ends[1]


def percent(share: float) -> str:
    """Return a share in percent with three digits."""
    return "–" if math.isnan(share) else f"{_number(100 * share)} %"


def _number(value: float) -> str:
    return Label("").number(value)


def _points(value: float) -> str:
    number = _number(value)
    return f"{number} point" if number == "1" else f"{number} points"
