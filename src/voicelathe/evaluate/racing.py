"""Who need not speak any further? All candidates speak a block of lines; those that can hardly win drop out, the rest speak the next block.

After a block the chance of each candidate to win is foreseen: to be the one that would ship, had everybody spoken all lines (`chances`).
The least likely drop out as long as their chances together are within the block's share of the error rate. So the error rate is the
chance that the race drops out whom the whole pack would have shipped.
Who stays speaks every line, so the guards judge the survivors on a number of lines that nobody chose by looking. Where nobody is left
people need to know which base to speak with, so two bases go on until a look after a block finds p < 0.05 between them. That is no proof: who looks
several times finds it more often. One of both it has to be. Everything is computed
from what was spoken, in any order; nothing here knows clocks or processes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from voicelathe.config import schema
from voicelathe.errors import SelectionError
from voicelathe.evaluate import chances, guards
from voicelathe.evaluate.chances import Chance
from voicelathe.evaluate.guards import Bar
from voicelathe.records import Drop, Round

VETO = "veto"
OVERSURE = 2  # who has a small chance after a block ships up to twice as often as foreseen, where all candidates are alike (docs/log.md)
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


Foresees = Callable[
    [Sequence[str], Bar, int, int], Mapping[str, Chance]
]  # candidates, what is known, lines in all, candidates that are out


def run(
    track: Speaks,
    recipe: str,
    bases: Sequence[str],
    candidates: Sequence[str],
    lines: Sequence[str],
    num_seeds: int,
    how: schema.RaceSettings,
    foresee: Foresees = chances.to_ship,
) -> tuple[list[Round], str]:
    """The rounds of a race and how it ended. Raises SelectionError for a budget without room for one block.

    Bases speak as long as a candidate does, and longer while `is_open`. `candidates`: in the order in which ties are broken. `foresee`: what
    winning means.
    """
    cut = blocks(lines, how.block_lines)
    require_first(recipe, (len(bases) + len(candidates)) * len(cut[0]) * num_seeds, how.max_samples)
    alive, rounds, heard = list(candidates), [], None
    for number, block in enumerate(cut):
        names = [*bases, *alive]
        if heard and not alive and not is_open(bases, heard):
            return rounds, NOBODY_LEFT
        if heard and not affordable(len(names) * len(block) * num_seeds, heard, how):
            return rounds, BUDGET if alive else NOBODY_LEFT
        heard = track.speak(names, block)
        is_last = number + 1 == len(cut)
        out = []
        if alive and not is_last:
            left = [name for name in alive if name not in heard.failed]
            known = foresee(left, heard.against, len(lines), len(candidates) - len(left))
            share = level(how.error_rate, [len(one) for one in cut], number)
            out = drops(alive, known, share, heard.failed)
        rounds.append(Round(list(block), names, out))
        alive = [name for name in alive if name not in {drop.candidate for drop in out}]
    return rounds, ALL_LINES if alive else NOBODY_LEFT


def is_open(bases: Sequence[str], heard: BlockResult) -> bool:
    """Whether more lines can still tell with which of two bases to speak where nothing ships."""
    if len(bases) < 2:
        return False
    test = guards.fallback(heard.against, heard.failed).test
    return test is not None and test.p_better >= guards.SIGNIFICANT


def blocks(lines: Sequence[str], size: int) -> list[list[str]]:
    """Lines in their order, `size` at a time; a last piece under half a block joins the one before."""
    cut = [list(lines[start : start + size]) for start in range(0, len(lines), size)]
    if len(cut) > 1 and len(cut[-1]) * 2 < size:
        cut[-2:] = [cut[-2] + cut[-1]]
    return cut


def level(error_rate: float, sizes: Sequence[int], number: int) -> float:
    """The share of a block of these sizes, by the lines that are known after it: few lines foretell least.

    After the last block nobody can save anything, so it has none. OVERSURE is taken off.
    """
    known = [sum(sizes[: place + 1]) for place in range(len(sizes) - 1)]
    return error_rate / OVERSURE * known[number] / sum(known) if number < len(known) else 0.0


def drops(
    racing: Sequence[str],
    known: Mapping[str, Chance],
    error_rate: float,
    vetoed: Mapping[str, str],
) -> list[Drop]:
    """Who of `racing` speaks no further lines, and why. `vetoed`: candidate -> what no further line can make good."""
    out = [Drop(name, VETO, vetoed[name], None, None) for name in racing if name in vetoed]
    spent = 0.0
    for name in sorted(known, key=lambda one: (known[one].wins, one)):
        spent += known[name].wins
        if spent > error_rate:
            break
        out.append(Drop(name, known[name].code, known[name].because, known[name].wins, known[name].test))
    return out


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
