"""Who is heard against whom, in which order? The design of a listening sweep, fixed by its samples and a seed.

The page plays it and the importer computes it again, so a verdict that was cut short or belongs to other samples cannot pass.
Rating and ranking show all candidates of a line together; A/B shows pairs of a random ring, so that every candidate meets two others
on every line and LoRA scales can be compared throughout. Some trials come back at the end under new labels: the same ears
should say the same again. The base takes part under a blind label like everyone else, and so does the speaker's real recording
on the lines that have one: the hidden reference of ITU-R BS.1534, an anchor for the listener and no candidate.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from voicelathe import digest, rng
from voicelathe.errors import SelectionError
from voicelathe.records import HARD_FAILURES, HELD_OUT, LONG, NOT_SPOKEN, REAL, SampleRecord

MODES = ("rate", "rank", "pair")
REVISION = 1  # of the rules below; part of the sweep digest
UNHEARABLE = (*HARD_FAILURES, NOT_SPOKEN)
REPEATED_SHARE = 0.15
REPEATED_CANDIDATES = 4  # at most so many of them in a repeated rating trial
MAX_LINES = 8  # that a person is asked to judge; metrics hear all of them


@dataclass(frozen=True)
class Trial:
    """One screen of the page. Candidates stand in the order of their blind labels."""

    trial: str
    line_id: str
    seed: int
    candidates: list[str]  # REAL among them on a line with a real recording
    repeats: str | None  # id of the trial that this one secretly repeats


def sweep_digest(run_digest: str, samples: Sequence[SampleRecord]) -> str:
    """Identity of what was heard: any other run, sample, failure or design gives another one.

    The id of a line with a real recording holds the id of its clip, which is a digest of its file, limits and text.
    """
    heard = sorted(
        [one.candidate, one.line_id, one.text, one.seed, one.sha256, one.problem] for one in samples
    )
    real = {"real": places} if (places := recorded(samples)) else {}
    return digest.of_value({"run": run_digest, "design": REVISION, "samples": heard, **real})


def played(samples: Sequence[SampleRecord], seed: int) -> list[SampleRecord]:
    """What a person is asked to judge: at most eight of the lines that every candidate spoke, and the long ones.

    A race leaves lines that only the survivors spoke; nobody could be compared with them there.
    """
    speakers: dict[str, set[str]] = {}
    for one in samples:
        speakers.setdefault(one.line_id, set()).add(one.candidate)
    everybody = {one.candidate for one in samples}
    common = sorted(
        line for line, names in speakers.items() if names == everybody and not line.startswith(LONG)
    )
    if len(common) > MAX_LINES:
        common = rng.shuffled(common, seed, "listening lines")[:MAX_LINES]
    return [one for one in samples if one.line_id in common or one.line_id.startswith(LONG)]


def recorded(samples: Sequence[SampleRecord]) -> list[tuple[str, int]]:
    """(line, seed) where the speaker's real recording takes part: held-out lines on which candidates can be compared."""
    counts = Counter((one.line_id, one.seed) for one in samples if is_hearable(one))
    return sorted(place for place, num in counts.items() if num > 1 and place[0].startswith(HELD_OUT))


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
    samples = played(samples, seed)
    by_place: dict[str, tuple[str, int]] = {
        f"{one.line_id}#{one.seed}": (one.line_id, one.seed) for one in samples
    }
    real = set(recorded(samples))
    first = []
    for name in rng.shuffled(list(by_place), seed, "listening order", mode):
        line, number = by_place[name]
        heard = [
            one.candidate for one in samples if (one.line_id, one.seed) == (line, number) and is_hearable(one)
        ]
        if len(heard) > 1:
            extra = [REAL] if (line, number) in real else []
            shown = heard if mode == "pair" else heard + extra
            labels = rng.shuffled(shown, seed, "listening labels", mode, name)
            of_line = _pairs(name, labels, extra, seed) if mode == "pair" else {f"{mode}-{name}": labels}
            first += [Trial(trial, line, number, members, None) for trial, members in of_line.items()]
    return first + _repeats(mode, first, seed)


def _pairs(name: str, labels: list[str], extra: list[str], seed: int) -> dict[str, list[str]]:
    """The ring of the candidates; beside it, in random places, the real recording with two of them: it takes no pair from anybody."""
    ring = list(zip(labels, labels[1:] + labels[:1], strict=True))[: 1 if len(labels) == 2 else len(labels)]
    pairs = [*ring, *((two, one) for one in extra for two in labels[:2])]
    order = [f"{number}" for number in range(len(pairs))]
    if extra:
        order = rng.shuffled(order, seed, "listening pairs", name)
    return {f"pair-{name}-{number}": list(pairs[int(number)]) for number in order}


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
