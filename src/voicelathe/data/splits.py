"""Every recording, whole, in exactly one of train, validation and test.

Clips of one recording share its room, its noise and its mood; a model that trained on some of them has heard the others. So
recordings that share audio are one component, and a component is never divided.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voicelathe import rng, settings
from voicelathe.errors import SplitError, listing
from voicelathe.layout import SPLITS
from voicelathe.records import CleanClip, SplitAssignment

# With fewer, a draw by chance misses its shares by too much, so they are dealt out. A random share of 0.1 of 50
# components has a standard deviation of 2.1 components around 5.
NUM_FOR_CHANCE = 50
LINKS = ("audio", "audio_sha256", "samples_sha256")  # what two recordings must not share across splits


@dataclass(frozen=True)
class Splits:
    """Clips of each split, and the proof: where every recording went and with which others."""

    clips: dict[str, list[CleanClip]]
    assignments: list[SplitAssignment]


def assign(clips: Sequence[CleanClip], split: settings.Split, seed: int) -> Splits:
    """Assign whole components; the order of the manifest does not matter.

    Below NUM_FOR_CHANCE components they are dealt out to meet the shares. From there on a seeded hash of a component's name
    decides, so that nothing moves when recordings are added. Raises SplitError when a split would stay empty.
    """
    component_of = components(clips)
    sizes: dict[str, int] = {}
    for clip in clips:
        name = component_of[clip.recording_id]
        sizes[name] = sizes.get(name, 0) + 1
    by_chance = len(sizes) >= NUM_FOR_CHANCE
    split_of = _by_hash(sizes, split, seed) if by_chance else _dealt(sizes, split, seed)
    _require_three(split_of, component_of)
    parts: dict[str, list[CleanClip]] = {name: [] for name in SPLITS}
    for clip in sorted(clips, key=lambda clip: (clip.audio, clip.start_s, clip.clip_id)):
        parts[split_of[component_of[clip.recording_id]]].append(clip)
    return Splits(parts, _assignments(clips, component_of, split_of))


def components(clips: Iterable[CleanClip]) -> dict[str, str]:
    """The component of each recording, named by its smallest recording id: shared audio joins recordings."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    first_with: dict[tuple[str, str], str] = {}
    for clip in clips:
        root(clip.recording_id)
        for link in LINKS:
            here, there = (
                root(clip.recording_id),
                root(first_with.setdefault((link, getattr(clip, link)), clip.recording_id)),
            )
            parent[max(here, there)] = min(here, there)
    return {recording: root(recording) for recording in sorted(parent)}


def _by_hash(sizes: Iterable[str], split: settings.Split, seed: int) -> dict[str, str]:
    found = {}
    for name in sizes:
        drawn = rng.unit(seed, "split", name)
        in_test = drawn < split.validation_share + split.test_share
        found[name] = "validation" if drawn < split.validation_share else "test" if in_test else "train"
    return found


def _dealt(sizes: dict[str, int], split: settings.Split, seed: int) -> dict[str, str]:
    """Largest first, each to the split that is furthest below its share; the last ones fill splits that are still empty.

    Equal sizes come in a seeded order. Half of the size makes it round to the nearest (Sainte-Laguë, 1910).
    """
    shares = {
        "train": 1.0 - split.validation_share - split.test_share,
        "validation": split.validation_share,
        "test": split.test_share,
    }
    held = dict.fromkeys(SPLITS, 0)
    found: dict[str, str] = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], rng.key(seed, "split", name))):
        empty = [part for part in SPLITS if not held[part]]
        choice = empty if len(sizes) - len(found) <= len(empty) else SPLITS
        found[name] = min(choice, key=lambda part: (held[part] + sizes[name] / 2) / shares[part])
        held[found[name]] += sizes[name]
    return found


def _require_three(split_of: dict[str, str], component_of: dict[str, str]) -> None:
    empty = [name for name in SPLITS if name not in split_of.values()]
    if not empty:
        return
    members: dict[str, list[str]] = {}
    for recording, component in component_of.items():
        members.setdefault(component, []).append(recording)
    held = [f"{len(names)} recordings: {', '.join(names[:5])}" for _, names in sorted(members.items())]
    if len(members) >= len(SPLITS):
        raise SplitError(
            f"No recording fell to {' and '.join(empty)} ({len(members)} components). Raise split.validation_share and "
            f"split.test_share in params.yaml, or change seed."
        )
    raise SplitError(
        f"{len(members)} independent recordings cannot make three splits (train, validation, test):\n{listing(held)}\n"
        f"Recordings that share an audio file are one. Add recordings, or correct recording_id in the manifest."
    )


def _assignments(
    clips: Iterable[CleanClip], component_of: dict[str, str], split_of: dict[str, str]
) -> list[SplitAssignment]:
    durations: dict[str, list[float]] = {}
    for clip in clips:
        durations.setdefault(clip.recording_id, []).append(clip.duration_s)
    return [
        SplitAssignment(
            recording_id=recording,
            component=component_of[recording],
            split=split_of[component_of[recording]],
            num_clips=len(durations[recording]),
            duration_s=round(sum(sorted(durations[recording])), 3),
        )
        for recording in sorted(durations)
    ]
