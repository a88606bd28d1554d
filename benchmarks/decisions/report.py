"""Which rule costs least? Tables over all fine-tunes that are finished.

Regret is in the oracle's utility; the best candidate, the bases among them, has none. A case counts once, however many disjoint
decisions its lines allow. `worse` and `better`: paired 95 % intervals over the oracle's lines without zero, against the better base.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.decisions import packs, replay
from benchmarks.decisions.oracle import Oracle
from benchmarks.decisions.replay import Decided, Trained
from voicelathe.evaluate import scores
from voicelathe.evaluate.scores import ENDINGS, LIKENESS, WORDS

SIZES, BLOCK, BINS = (8, 24, 40, 64), 8, 10  # 40: the demo's
RANDOM = "random"
MEASURED = (WORDS, ENDINGS, LIKENESS)


@dataclass(frozen=True)
class Judged:
    """A finished fine-tune and the truth about it."""

    trained: Trained
    oracle: Oracle


@dataclass(frozen=True)
class Statement:
    """That a candidate is better than the base with probability `p`; `truth`: 1 where the oracle says so, 0.5 where both are equal."""

    measure: str
    p: float
    truth: float


@dataclass(frozen=True)
class Row:
    """One rule in one case: means over its decisions."""

    case: str
    rule: str
    regret: float
    words_behind: float  # the best candidate's less those of what was shipped
    likeness_behind: float
    worse: float  # share of decisions that ship what is significantly worse than the better base
    better: float  # ... significantly better
    samples: float


def rows(one: Judged) -> Iterator[Row]:
    """Every rule in a case."""
    trained, pack = one.trained, one.trained.pack
    for rule in (replay.LAST, replay.LOSS, replay.DIFF):
        yield row(one, rule, [replay.by_number(trained, rule)])
    yield row(one, replay.TWO_LINES, [replay.two_lines(trained, part) for part in packs.parts(pack, 2)])
    yield row(one, RANDOM, [Decided(found.candidate, 0) for found in trained.tuned])
    for size in SIZES:
        if size <= len(pack):
            chunks = list(packs.parts(pack, size))
            yield row(one, f"ours, {size} lines", [replay.ours(trained, part, BLOCK) for part in chunks])
            yield row(
                one, f"ours, {size} lines, exhaustive", [replay.ours(trained, part, size) for part in chunks]
            )


def row(one: Judged, rule: str, decisions: Sequence[Decided]) -> Row:
    truth = one.oracle
    best = max(truth.names, key=lambda name: truth.utility[name])
    gets = [found.gets for found in decisions]
    against = [truth.ahead(name, truth.base) for name in gets]

    def behind(measure: str) -> float:
        return _mean(_level(truth, measure, best) - _level(truth, measure, name) for name in gets)

    return Row(
        one.trained.name,
        rule,
        _mean(truth.regret(name) for name in gets),
        behind(WORDS),
        behind(LIKENESS),
        _mean(found.ships and ahead.is_worse for found, ahead in zip(decisions, against, strict=True)),
        _mean(found.ships and ahead.is_better for found, ahead in zip(decisions, against, strict=True)),
        _mean(found.samples for found in decisions),
    )


def rules_table(known: Sequence[Judged]) -> str:
    """Rules over all cases; where somebody helps, how often one that does is shipped. A case with many draws counts once."""
    found = [(bool(one.oracle.helpers()), each) for one in known for each in rows(one)]
    helped = [one.trained.name for one in known if one.oracle.helpers()]
    told = [
        f"{len({one.trained.name for one in known})} fine-tunes, {len(known)} draws of lines; in {len(helped)} draws, of {len(set(helped))} "
        "fine-tunes, some checkpoint is significantly better than the better base.\n",
        "| rule | regret | highest of a case | words behind the best | likeness behind | ships worse than the base | ships better where one is | samples |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for rule in dict.fromkeys(each.rule for _, each in found):
        own = [(helps, each) for helps, each in found if each.rule == rule]
        told.append(
            f"| {rule} | {' | '.join(_columns([each for _, each in own], [each.better for helps, each in own if helps]))} |"
        )
    return "\n".join(told)


def _columns(own: Sequence[Row], better: Sequence[float]) -> list[str]:
    """`better`: of the draws in which somebody helps."""

    def mean(value: Callable[[Row], float]) -> float:
        return _mean(_by_case(own, value))

    return [
        f"{mean(lambda row: row.regret):.3f}",
        f"{max(_by_case(own, lambda row: row.regret)):.3f}",
        f"{mean(lambda row: row.words_behind):.3f}",
        f"{mean(lambda row: row.likeness_behind):.3f}",
        f"{mean(lambda row: row.worse):.2f}",
        f"{_mean(better):.2f}" if better else "no such case",
        f"{mean(lambda row: row.samples):.0f}",
    ]


def _by_case(own: Iterable[Row], value: Callable[[Row], float]) -> list[float]:
    """The mean of each case."""
    found: dict[str, list[float]] = {}
    for row in own:
        found.setdefault(row.case, []).append(value(row))
    return [_mean(values) for values in found.values()]


def cases_table(known: Sequence[Judged]) -> str:
    """What is the truth in each case, and what would each rule ship? One draw each, with all its lines."""
    told = [
        "| fine-tune | better base | best | better than that base | the last one | lowest loss | ours ships |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in known:
        truth = one.oracle
        best = max(truth.names, key=lambda name: truth.utility[name])
        ours = replay.ours(one.trained, one.trained.pack, BLOCK).gets
        shown = [replay.by_number(one.trained, rule).gets for rule in (replay.LAST, replay.LOSS)]
        cells = [_against(truth, name) for name in (best, *shown, ours)]
        helpers = ", ".join(truth.helpers()) or "none"
        told.append(
            f"| {one.trained.name} | {truth.base} {truth.utility[truth.base]:.3f} | {cells[0]} | {helpers} | {' | '.join(cells[1:])} |"
        )
    return "\n".join(told)


def _against(truth: Oracle, name: str) -> str:
    """A candidate, and its utility less that of the better base."""
    if name == truth.base:
        return name
    ahead = truth.ahead(name, truth.base)
    text = f"{name} {ahead.difference:+.3f} ({ahead.interval.low:+.3f} .. {ahead.interval.high:+.3f})"
    return f"**{text}**" if ahead.is_worse else text


def ties_table(known: Sequence[Judged]) -> str:
    """Three ways to break ties, on decisions that ship; `size` lines each, racing."""
    told = ["| ties go to | decisions that ship | with a tie | regret of those |", "|---|--:|--:|--:|"]
    shipped = [
        (one, decided)
        for one in known
        for size in SIZES
        for part in packs.parts(one.trained.pack, size)
        if (decided := replay.ours(one.trained, part, BLOCK)).ships
    ]
    open_ = [(one, decided) for one, decided in shipped if len(replay.tied(decided)) > 1]
    for rule in replay.TIES:
        regrets = [
            one.oracle.regret(replay.with_ties(decided, rule, _steps(one.trained))) for one, decided in open_
        ]
        mean = f"{_mean(regrets):.4f}" if regrets else ""
        told.append(f"| {rule} | {len(shipped)} | {len(open_)} | {mean} |")
    return "\n".join(told)


def calibration_table(known: Sequence[Judged], size: int = 24) -> str:
    """Of statements that a candidate is better with probability p, how many does the oracle confirm? A difference of 0 counts half.

    `off` is of all of them; beside it each measure alone: what is true, of how many.
    """
    said = [found for one in known for found in statements(one, size)]
    told = [
        f"| said | statements | mean of what was said | true by the oracle | off | {' | '.join(MEASURED)} |",
        f"|---|--:|--:|--:|--:|{'--:|' * len(MEASURED)}",
    ]
    for number, members in enumerate(bins(said)):
        span = f"{number / BINS:.1f} .. {(number + 1) / BINS:.1f}"
        alone = [_confirmed([one for one in members if one.measure == measure]) for measure in MEASURED]
        claimed, true = _mean(one.p for one in members), _mean(one.truth for one in members)
        whole = [f"{claimed:.3f}", f"{true:.3f}", f"{abs(claimed - true):.3f}"] if members else [""] * 3
        told.append(f"| {' | '.join([span, str(len(members)), *whole, *alone])} |")
    return "\n".join(told)


def _confirmed(members: Sequence[Statement]) -> str:
    return f"{_mean(one.truth for one in members):.2f} of {len(members)}" if members else ""


def statements(one: Judged, size: int) -> Iterator[Statement]:
    """What decisions on `size` lines say of every candidate against the base, in words, endings and likeness."""
    trained, truth = one.trained, one.oracle
    for part in packs.parts(trained.pack, size):
        kept = replay.Replayed(trained, size)
        kept.speak([found.candidate for found in trained.evaluations], [line.id for line in part])
        heard = scores.of(kept.samples, kept.measures)
        for name in truth.tuned:
            for measure in MEASURED:
                test = scores.test(heard, measure, name, truth.base)
                ahead = scores.test(truth.scores, measure, name, truth.base)
                if test is not None and ahead is not None:
                    yield Statement(measure, test.probability, float((np.sign(ahead.difference) + 1) / 2))


def bins(said: Iterable[Statement]) -> list[list[Statement]]:
    """Statements by their probability, BINS of equal width; 1 belongs to the last."""
    found: list[list[Statement]] = [[] for _ in range(BINS)]
    for one in said:
        found[min(BINS - 1, int(one.p * BINS))].append(one)
    return found


def _steps(one: Trained) -> Mapping[str, int]:
    return {found.candidate: found.step for found in one.evaluations}


def _level(truth: Oracle, measure: str, name: str) -> float:
    return truth.scores.mean(measure, name) or 0.0


def _mean(values: Iterable[float]) -> float:
    return float(np.mean([float(one) for one in values] or [np.nan]))
