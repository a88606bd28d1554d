"""Who is heard against whom, in which order? The design of a listening sweep, fixed by its samples and a seed.

The page plays it and the importer computes it again, so a verdict that was cut short or belongs to other samples cannot pass.
Rating and ranking show all candidates of a line together; A/B shows pairs of a random ring, so that every candidate meets two others
on every line and strengths can be compared throughout. Some trials come back at the end under new labels: the same ears
should say the same again. The base takes part under a blind label like everyone else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from voicelathe import digest, rng
from voicelathe.errors import SelectionError
from voicelathe.records import NOT_SPOKEN, SampleRecord

MODES = ("rate", "rank", "pair")
REVISION = 1  # of the rules below; part of the sweep digest
UNHEARABLE = ("empty", "silent", "nonfinite", NOT_SPOKEN)
REPEATED_SHARE = 0.15
REPEATED_CANDIDATES = 4  # at most so many of them in a repeated rating trial


@dataclass(frozen=True)
class Trial:
    """One screen of the page. Candidates stand in the order of their blind labels."""

    trial: str
    line_id: str
    seed: int
    candidates: list[str]
    repeats: str | None  # id of the trial that this one secretly repeats


def sweep_digest(run_digest: str, samples: Sequence[SampleRecord]) -> str:
    """Identity of what was heard: any other run, sample, failure or design gives another one."""
    heard = sorted(
        [one.candidate, one.line_id, one.text, one.seed, one.sha256, one.problem] for one in samples
    )
    return digest.of_value({"run": run_digest, "design": REVISION, "samples": heard})


def label(step: int, lora_scale: float | None, prompted: bool = False) -> str:
    """A candidate as people say it: `base`, `base, zero-shot`, `step 2000`, `step 2000 at strength 0.35`."""
    if step == 0:
        return "base, zero-shot" if prompted else "base"
    return f"step {step}" + ("" if lora_scale in (None, 1.0) else f" at strength {lora_scale:g}")


def is_hearable(sample: SampleRecord) -> bool:
    """Failed generations are shown as failed; they are neither played nor scored."""
    return sample.path is not None and sample.problem not in UNHEARABLE


def trials(mode: str, samples: Sequence[SampleRecord], seed: int) -> list[Trial]:
    """The trials of a mode in the order they are shown; lines where fewer than two candidates can be heard have none."""
    if mode not in MODES:
        raise SelectionError(f"mode {mode!r}: no such kind of listening. There are: {', '.join(MODES)}.")
    by_place: dict[str, tuple[str, int]] = {
        f"{one.line_id}#{one.seed}": (one.line_id, one.seed) for one in samples
    }
    first = []
    for name in rng.shuffled(list(by_place), seed, "listening order", mode):
        line, number = by_place[name]
        heard = [
            one.candidate for one in samples if (one.line_id, one.seed) == (line, number) and is_hearable(one)
        ]
        if len(heard) > 1:
            first += _of_line(
                mode, name, line, number, rng.shuffled(heard, seed, "listening labels", mode, name)
            )
    return first + _repeats(mode, first, seed)


def _of_line(mode: str, name: str, line: str, seed: int, labels: list[str]) -> list[Trial]:
    if mode != "pair":
        return [Trial(f"{mode}-{name}", line, seed, labels, None)]
    ring = list(zip(labels, labels[1:] + labels[:1], strict=True))[: 1 if len(labels) == 2 else len(labels)]
    return [Trial(f"{mode}-{name}-{number}", line, seed, list(two), None) for number, two in enumerate(ring)]


def _repeats(mode: str, first: list[Trial], seed: int) -> list[Trial]:
    """A share of the earlier trials under new labels, oldest first, so that they lie far apart."""
    earlier = first[: max(1, len(first) // 2)] if len(first) > 1 else []
    again = earlier[: math.ceil(REPEATED_SHARE * len(first))]
    return [
        Trial(f"{one.trial}-again", one.line_id, one.seed, _relabelled(mode, one, seed), one.trial)
        for one in again
    ]


def _relabelled(mode: str, one: Trial, seed: int) -> list[str]:
    if mode == "pair":
        return one.candidates[::-1]
    return rng.shuffled(one.candidates, seed, "listening repeat", one.trial)[:REPEATED_CANDIDATES]
