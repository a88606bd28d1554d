"""Which clips of the general set are mixed into training, and on which is forgetting measured? Never two clips of one speaker, or of one recording.

Nor two of one sentence: where all speakers read the same, half of the sentences are kept of each side, and the other clips are used for neither.

What is trained on cannot show what a model forgot. So the set is divided once, whatever the recipe and the seed, and a clip stays on its side.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from voicelathe import records, rng
from voicelathe.data.latents import general_set
from voicelathe.data.text import languages
from voicelathe.errors import ParamsError, SplitError, listing
from voicelathe.records import CleanClip


@dataclass(frozen=True)
class Sides:
    """Two lists of clips, by id. `by` says what no two sides share: a speaker, or, where there is one speaker only, a recording."""

    replayed: list[CleanClip]
    measured: list[CleanClip]
    by: str  # speaker | recording


def sides(clips: Sequence[CleanClip]) -> Sides:
    """Half of each language's clips on each side, as near as whole speakers allow; the order of clips does not matter.

    Raises SplitError where everything is one recording.
    """
    ways: Mapping[str, Callable[[CleanClip], str]] = {
        "speaker": lambda clip: clip.speaker_id,
        "recording": lambda clip: clip.recording_id,
    }
    for by, name_of in ways.items():
        groups = _groups(clips, name_of)
        if len(groups) > 1:
            return _divided(groups, by)
    raise SplitError(
        f"All {len(clips)} clips of the general set are of one speaker and one recording, so none can be replayed (train.replay_share) "
        "while forgetting is measured on others. Add another speaker or recording to general.manifest, or set train.replay_share to 0.0."
    )


def of_directory(general: Path) -> Sides:
    """The sides of an encoded general set, as stage `general` leaves it. Raises SplitError as `sides` does."""
    return sides(records.read(general / general_set.CLIPS, CleanClip))


def num_replayed(steps: int, clips_per_step: int, share: float) -> int:
    """Visits of general clips in the first steps of a run: the share of all visits, rounded down, without the error of floats."""
    return int(Fraction(repr(share)) * steps * clips_per_step)


def most_visits(visits: int, clips: int) -> int:
    """How often a clip is visited at most: every one is visited once more before any is visited twice more."""
    return -(-visits // clips)


def require_enough(where: str, visits: int, of: int, clips: int, most: int) -> None:
    """Raises ParamsError, with the numbers, where clips would be seen too often. `where`: the recipe's path in params.yaml."""
    if most_visits(visits, clips) > most:
        raise ParamsError(
            f"{where}.train.replay_share: {visits} of {of} visits of the run are replays of {clips} general clips, so that each is seen up to "
            f"{most_visits(visits, clips)} times, and {where}.train.replay_visits = {most}: with it there are enough for {clips * most}. "
            f"Lower replay_share to {_rounded_down(clips * most / of)}, raise replay_visits, or add clips to general.manifest."
        )


def _rounded_down(share: float) -> str:
    """Three digits of a share, never more than it."""
    digits = 2 - math.floor(math.log10(share))
    return f"{math.floor(share * 10**digits) / 10**digits:.{digits}f}"


def require_strangers(replayed: Sequence[CleanClip], splits: Mapping[str, Sequence[CleanClip]]) -> None:
    """No replayed clip has the audio of a clip of the voice, or says what a held-out one says. Raises SplitError with both."""
    sounds: dict[str, str] = {}
    sentences: dict[tuple[str, str], str] = {}
    for split, clips in splits.items():
        for clip in clips:
            sounds.setdefault(clip.audio_sha256, f"its audio is that of {clip.audio} of {split}")
            if split != "train":
                sentences.setdefault(_sentence(clip), f"it says what clip {clip.clip_id} of {split} says")
    found = [
        f"clip {clip.clip_id}, {clip.audio}: {why}"
        for clip in replayed
        if (why := sounds.get(clip.audio_sha256) or sentences.get(_sentence(clip))) is not None
    ]
    if found:
        raise SplitError(
            f"{len(found)} clips of the general set would be replayed (train.replay_share), so that what is held out would be trained on:\n"
            f"{listing(found)}\nTake them out of general.manifest, or set train.replay_share to 0.0."
        )


def _sentence(clip: CleanClip) -> tuple[str, str]:
    return languages.sentence(clip.text, clip.language)


def _groups(clips: Sequence[CleanClip], name_of: Callable[[CleanClip], str]) -> list[list[CleanClip]]:
    """Clips by name; names that share audio are one group."""
    root: dict[str, str] = {}

    def found(name: str) -> str:
        while root.setdefault(name, name) != name:
            name = root[name]
        return name

    for clip in clips:
        one, other = sorted((found(f"name {name_of(clip)}"), found(f"audio {clip.audio_sha256}")))
        root[other] = one
    groups: dict[str, list[CleanClip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: clip.clip_id):
        groups[found(f"name {name_of(clip)}")].append(clip)
    return [groups[name] for name in sorted(groups)]


def _divided(groups: Sequence[list[CleanClip]], by: str) -> Sides:
    """The larger groups first; each goes where its languages, and then all clips, are fewer; the first one is measured."""
    held: tuple[list[CleanClip], list[CleanClip]] = ([], [])
    counts = (Counter[str](), Counter[str]())

    def order(group: list[CleanClip]) -> tuple[int, int]:
        return -len(group), rng.key(0, "side of the general set", *(clip.clip_id for clip in group))

    for group in sorted(groups, key=order):
        languages = {clip.language for clip in group}
        measured, replayed = ((sum(one[name] for name in languages), one.total()) for one in counts)
        side = int(replayed < measured)
        held[side].extend(group)
        counts[side].update(clip.language for clip in group)
    measured_clips, replayed_clips = _without_shared_sentences(*held)
    if not (measured_clips and replayed_clips):
        raise SplitError(
            "The general set says one sentence only, or its speakers do, so none can be replayed (train.replay_share) while forgetting is measured "
            "on others. Add other sentences to general.manifest, or set train.replay_share to 0.0."
        )
    return Sides(replayed_clips, measured_clips, by)


def _without_shared_sentences(*held: list[CleanClip]) -> tuple[list[CleanClip], list[CleanClip]]:
    """Both sides by id; of a sentence that both say, every other one stays on each side."""
    said = [{_sentence(clip) for clip in clips} for clips in held]
    shared = sorted(said[0] & said[1], key=lambda one: rng.key(0, "sentence of the general set", *one))
    gone = (set(shared[1::2]), set(shared[::2]))
    first, second = (
        sorted((clip for clip in clips if _sentence(clip) not in away), key=lambda clip: clip.clip_id)
        for clips, away in zip(held, gone, strict=True)
    )
    return first, second
