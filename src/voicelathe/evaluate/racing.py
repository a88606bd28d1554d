"""Who need not speak any further? All candidates speak a block of lines; those that cannot win drop out, the rest speak the next block.

Two ways out (successive elimination, Even-Dar, Mannor and Mansour 2006, with paired lines and seeds):
* worse than the base: shown to lose words or endings, and more than the margin of the guard;
* dominated: shown to be less like the speaker than the leader, and keeping no more words than the leader does.
The error rate is the chance that the candidate drops out which would have shipped, had everybody spoken all lines. It is divided by the
number of blocks but the last; inside a block the p values of a candidate are corrected for each other (Holm 1979), and the one against the
leader for the number of rivals. A candidate that truly loses about as much as a guard allows drops out more often than that, and passes the
guard hardly ever.
Who stays speaks every line, so the guards judge the survivors on a number of lines that nobody chose by looking. Everything is computed from what was spoken, in any order; nothing here knows clocks or processes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from voicelathe.config import schema
from voicelathe.errors import SelectionError
from voicelathe.evaluate import scores, statistics
from voicelathe.evaluate.guards import Bar
from voicelathe.evaluate.report import wording
from voicelathe.evaluate.scores import ENDINGS, LIKENESS, WORDS, Scores
from voicelathe.records import Drop, LineTest, Round

VETO, WORSE, DOMINATED = "veto", "worse_than_base", "dominated"
ALL_LINES, NOBODY_LEFT, BUDGET = "all_lines", "nobody_left", "budget"


@dataclass(frozen=True)
class BlockResult:
    """What is known after a block."""

    against: Bar
    failed: Mapping[str, str]  # candidate -> what no further line can make good
    num_samples: int
    audio_s: float  # of speech made


class Speaks(Protocol):
    """Whoever lets candidates speak: the stage `listen`, or a benchmark that has their samples already."""

    def speak(self, names: Sequence[str], lines: Sequence[str]) -> BlockResult:
        """These candidates speak these lines with every seed; everything that was heard so far."""


def run(
    track: Speaks,
    recipe: str,
    bases: Sequence[str],
    candidates: Sequence[str],
    lines: Sequence[str],
    num_seeds: int,
    how: schema.RaceSettings,
) -> tuple[list[Round], str]:
    """The rounds of a race and how it ended. Bases speak every line. Raises SelectionError for a budget without room for one block."""
    cut = blocks(lines, how.block_lines)
    require_first(recipe, (len(bases) + len(candidates)) * len(cut[0]) * num_seeds, how.max_samples)
    alive, rounds, heard = list(candidates), [], None
    for number, block in enumerate(cut):
        names = [*bases, *alive]
        if heard and not affordable(len(names) * len(block) * num_seeds, heard, how):
            return rounds, BUDGET
        heard = track.speak(names, block)
        is_last = number + 1 == len(cut)
        out = [] if is_last else drops(alive, heard.against, level(how.error_rate, len(cut)), heard.failed)
        rounds.append(Round(list(block), names, out))
        alive = [name for name in alive if name not in {drop.candidate for drop in out}]
        if not alive:
            return rounds, NOBODY_LEFT
    return rounds, ALL_LINES


def blocks(lines: Sequence[str], size: int) -> list[list[str]]:
    """Lines in their order, `size` at a time; a last piece under half a block joins the one before."""
    cut = [list(lines[start : start + size]) for start in range(0, len(lines), size)]
    if len(cut) > 1 and len(cut[-1]) * 2 < size:
        cut[-2:] = [cut[-2] + cut[-1]]
    return cut


def level(error_rate: float, num_blocks: int) -> float:
    """Of one block. After the last one nobody can save anything, so only the others share the rate."""
    return error_rate / max(1, num_blocks - 1)


def drops(racing: Sequence[str], against: Bar, error_rate: float, vetoed: Mapping[str, str]) -> list[Drop]:
    """Who of `racing` speaks no further lines, and why. `vetoed`: candidate -> what no further line can make good."""
    out = [Drop(name, VETO, vetoed[name], None) for name in racing if name in vetoed]
    left = [name for name in racing if name not in vetoed]
    leader = _leader(left, against)
    for name in left:
        asked = [*_against_base(name, against), *_against_leader(name, leader, against.found, len(left))]
        corrected = statistics.holm([p for _, _, p, _ in asked])
        for (test, code, _, may_drop), p in zip(asked, corrected, strict=True):
            if may_drop and p < error_rate:
                out.append(Drop(name, code, _said(test), test))
                break
    return out


_Asked = tuple[
    LineTest, str, float, bool
]  # the test, what it would mean, its p value, and whether its size allows that


def _against_base(name: str, against: Bar) -> Iterator[_Asked]:
    for measure in (WORDS, ENDINGS):
        test = against.test(measure, name)
        if test is not None and measure in against.margins:
            yield test, WORSE, test.p_worse, against.is_below(test)


def _against_leader(name: str, leader: str | None, found: Scores, num_racing: int) -> Iterator[_Asked]:
    """The leader is the best of several, so p is corrected for their number."""
    test = scores.test(found, LIKENESS, name, leader) if leader and name != leader else None
    if test is not None and leader is not None:
        keeps = [scores.test(found, measure, name, leader) for measure in (WORDS, ENDINGS)]
        p = min(1.0, test.p_worse * (num_racing - 1))
        yield test, DOMINATED, p, all(one is None or one.difference <= 0.0 for one in keeps)


def _leader(names: Sequence[str], against: Bar) -> str | None:
    """The one most like the speaker among those that so far lose no more than the margins; of equals the first by name."""
    holds = sorted(
        name
        for name in names
        if against.found.has(LIKENESS, name)
        and not any(is_below for _, _, _, is_below in _against_base(name, against))
    )
    return max(holds, key=lambda name: against.found.mean(LIKENESS, name) or 0.0, default=None)


def affordable(more: int, heard: BlockResult, how: schema.RaceSettings) -> bool:
    """Whether the budget holds so many more samples; their length is foretold by the mean of those that were made."""
    expected_s = heard.audio_s * (1 + more / heard.num_samples)
    enough_samples = how.max_samples is None or heard.num_samples + more <= how.max_samples
    return enough_samples and (how.max_audio_s is None or expected_s <= how.max_audio_s)


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
