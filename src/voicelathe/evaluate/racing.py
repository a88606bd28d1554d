"""Who need not speak any further? All candidates speak a block of lines; those that cannot win drop out, the rest speak the next block.

Two ways out (successive elimination, Even-Dar, Mannor and Mansour 2006, with paired lines and seeds):
* worse than the base: shown to lose words or endings, and more than the margin of the guard;
* dominated: shown to be less like the speaker than the leader, and keeping no more words than the leader does.
The error rate holds for the whole race: it is divided by the number of blocks, and inside a block p values are corrected for all
candidates and measures (Holm 1979). Who stays speaks every line, so the guards judge the survivors on a number of lines that
nobody chose by looking. Everything is computed from what was spoken, in any order; nothing here knows clocks or processes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from voicelathe.errors import SelectionError
from voicelathe.evaluate import scores, statistics, wording
from voicelathe.evaluate.scores import ENDINGS, LIKENESS, WORDS, Scores
from voicelathe.records import Drop, LineTest

VETO, WORSE, DOMINATED = "veto", "worse_than_base", "dominated"
ALL_LINES, NOBODY_LEFT, BUDGET = "all_lines", "nobody_left", "budget"


@dataclass(frozen=True)
class Rules:
    """What decides who drops out after a block."""

    level: float  # error rate of one block
    margins: Mapping[str, float]


def blocks(lines: Sequence[str], size: int) -> list[list[str]]:
    """Lines in their order, `size` at a time; a last piece under half a block joins the one before."""
    cut = [list(lines[start : start + size]) for start in range(0, len(lines), size)]
    if len(cut) > 1 and len(cut[-1]) * 2 < size:
        cut[-2:] = [cut[-2] + cut[-1]]
    return cut


def level(error_rate: float, num_blocks: int) -> float:
    """Of one block. After the last one nobody can save anything, so only the others share the rate."""
    return error_rate / max(1, num_blocks - 1)


def drops(
    racing: Sequence[str],
    base: str,
    found: Scores,
    rules: Rules,
    granted: Mapping[str, float],
    vetoed: Mapping[str, str],
) -> list[Drop]:
    """Who of `racing` speaks no further lines, and why. `vetoed`: candidate -> what no further line can make good."""
    out = [Drop(name, VETO, vetoed[name], None) for name in racing if name in vetoed]
    left = [name for name in racing if name not in vetoed]
    asked = [
        *_against_base(left, base, found, rules, granted),
        *_against_leader(left, base, found, rules, granted),
    ]
    corrected = statistics.holm([one.p_worse for one, _, _ in asked])
    gone: dict[str, Drop] = {}
    for (one, code, may_drop), p in zip(asked, corrected, strict=True):
        if may_drop and p < rules.level:
            gone.setdefault(one.candidate, Drop(one.candidate, code, _said(one), one))
    return out + [gone[name] for name in left if name in gone]


_Asked = tuple[LineTest, str, bool]  # the test, what it would mean, and whether its size allows that


def _against_base(
    names: Sequence[str], base: str, found: Scores, rules: Rules, granted: Mapping[str, float]
) -> Iterator[_Asked]:
    for name in names:
        for measure in (WORDS, ENDINGS):
            allowance = granted.get(measure, 0.0)
            test = scores.test(found, measure, name, base, allowance=allowance)
            if test is not None and measure in rules.margins:
                yield test, WORSE, test.difference + allowance < -rules.margins[measure]


def _against_leader(
    names: Sequence[str], base: str, found: Scores, rules: Rules, granted: Mapping[str, float]
) -> Iterator[_Asked]:
    leader = _leader(names, base, found, rules, granted)
    for name in names if leader else ():
        test = (
            scores.test(found, LIKENESS, name, leader, allowance=0.0) if leader and name != leader else None
        )
        if test is not None and leader is not None:
            keeps = [scores.test(found, measure, name, leader) for measure in (WORDS, ENDINGS)]
            yield test, DOMINATED, all(one is None or one.difference <= 0.0 for one in keeps)


def _leader(
    names: Sequence[str], base: str, found: Scores, rules: Rules, granted: Mapping[str, float]
) -> str | None:
    """The one most like the speaker among those that so far lose no more than the margins; of equals the first."""
    holds = [
        name
        for name in names
        if found.has(LIKENESS, name)
        and not any(bad for _, _, bad in _against_base([name], base, found, rules, granted))
    ]
    return max(holds, key=lambda name: (found.mean(LIKENESS, name) or 0.0, -names.index(name)), default=None)


def affordable(
    num_racing: int,
    num_lines: int,
    num_seeds: int,
    spent: int,
    audio_s: float,
    max_samples: int | None,
    max_audio_s: float | None,
) -> bool:
    """Whether the budget holds another block. `spent` samples and `audio_s` seconds of speech were made; their mean foretells the next."""
    more = num_racing * num_lines * num_seeds
    expected_s = audio_s / spent * more if spent else 0.0
    enough_samples = max_samples is None or spent + more <= max_samples
    return enough_samples and (max_audio_s is None or audio_s + expected_s <= max_audio_s)


def require_first(recipe: str, more: int, max_samples: int | None) -> None:
    """Raises SelectionError for a budget that does not hold the first block."""
    if max_samples is not None and more > max_samples:
        raise SelectionError(
            f"recipes.{recipe}.listen.race.max_samples = {max_samples}, but the first block alone takes {more} samples (candidates and bases "
            "x lines x seeds). Raise it, or make race.block_lines smaller or train.checkpoint_every larger."
        )


def _said(one: LineTest) -> str:
    words = {
        WORDS: "fewer words kept",
        ENDINGS: "fewer lines ended as they should",
        LIKENESS: "less like the speaker",
    }
    difference = f"{one.difference:+.3f}".replace("-", "\u2212")
    return f"{words[one.measure]} than {one.against} on {one.lines} lines: {difference}, {wording.chance(one.p_worse)}"
