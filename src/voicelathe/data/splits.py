"""Every recording, whole, in exactly one of train, validation and test.

Clips of one recording share its room, its noise and its mood; a model that trained on some of them has heard the others. So
recordings that share audio, or the same performance, are one component, and a component is never divided.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from voicelathe import rng, settings
from voicelathe.data import text
from voicelathe.data.frozen import Frozen
from voicelathe.errors import SplitError, listing
from voicelathe.layout import SPLITS
from voicelathe.records import CleanClip, Link, SplitAssignment

# With fewer, a draw by chance misses its shares by too much, so they are dealt out. A random share of 0.1 of 50
# components has a standard deviation of 2.1 components around 5.
NUM_FOR_CHANCE = 50
LINKS = ("audio", "audio_sha256", "samples_sha256")  # what two recordings must not share across splits


@dataclass(frozen=True)
class Splits:
    """Clips of each split, and the proof: where every recording went, with which others, and why."""

    clips: dict[str, list[CleanClip]]
    assignments: list[SplitAssignment]
    method: str  # dealt | by hash
    joined_by: dict[
        str, list[str]
    ]  # component -> what joined its recordings; nothing for one recording alone


@dataclass(frozen=True)
class _Component:
    """Recordings that stay together, as one thing to place."""

    name: str
    num_clips: int
    stratum: tuple[
        str, bool
    ]  # its main speaker, and whether its clips are longer than is usual in the corpus


def assign(
    clips: Sequence[CleanClip],
    split: settings.Split,
    seed: int,
    links: Sequence[Link] = (),
    frozen: Frozen | None = None,
) -> Splits:
    """Assign whole components; the order of the manifest does not matter.

    A component with anything of a frozen split stays where that was. Of the others, fewer than NUM_FOR_CHANCE are dealt out to
    meet the shares, for all and for each speaker and length of clips; from there on a seeded hash of a component's name decides,
    so that nothing moves when recordings are added. Raises SplitError when a split would stay empty, or when one component holds
    parts of two frozen splits.
    """
    component_of, joined_by = _joined(clips, links, split.same_text_together)
    parts = _components(clips, component_of)
    fixed = frozen.places(clips, component_of) if frozen else {}
    free = [one for one in parts if one.name not in fixed]
    by_chance = len(parts) >= NUM_FOR_CHANCE
    split_of = dict(fixed)
    split_of.update(_by_hash(free, split, seed) if by_chance else _dealt(free, split, seed, parts, fixed))
    _require_three(split_of, component_of, joined_by)
    placed: dict[str, list[CleanClip]] = {name: [] for name in SPLITS}
    for clip in sorted(clips, key=lambda clip: (clip.audio, clip.start_s, clip.clip_id)):
        placed[split_of[component_of[clip.recording_id]]].append(clip)
    method = "by hash" if by_chance else "dealt"
    return Splits(placed, _assignments(clips, component_of, split_of), method, joined_by)


def components(clips: Iterable[CleanClip], links: Iterable[Link] = ()) -> dict[str, str]:
    """The component of each recording, named by its smallest recording id: shared audio joins recordings."""
    return _joined(clips, links, False)[0]


def _joined(
    clips: Iterable[CleanClip], links: Iterable[Link], same_text: bool
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The component of each recording, and what joined those of more than one recording."""
    parent: dict[str, str] = {}
    joins: list[tuple[str, str]] = []

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def join(one: str, other: str, why: str) -> None:
        if one != other:
            joins.append((one, f"{why}: {' and '.join(sorted((one, other)))}"))
        here, there = root(one), root(other)
        parent[max(here, there)] = min(here, there)

    first_with: dict[tuple[str, str], str] = {}
    for clip in sorted(clips, key=lambda clip: clip.recording_id):
        root(clip.recording_id)
        shared = [(link, getattr(clip, link)) for link in LINKS]
        shared += [("text", text.words(clip.text))] if same_text else []
        for link in shared:
            join(clip.recording_id, first_with.setdefault(link, clip.recording_id), f"same {link[0]}")
    for pair in links:
        if pair.one in parent and pair.other in parent:
            join(pair.one, pair.other, pair.why)
    why: dict[str, set[str]] = {}
    for name, reason in joins:
        why.setdefault(root(name), set()).add(reason)
    joined_by = {name: sorted(reasons) for name, reasons in sorted(why.items())}
    return {recording: root(recording) for recording in sorted(parent)}, joined_by


def _components(clips: Iterable[CleanClip], component_of: Mapping[str, str]) -> list[_Component]:
    members: dict[str, list[CleanClip]] = {}
    for clip in clips:
        members.setdefault(component_of[clip.recording_id], []).append(clip)
    lengths_s = {name: median(clip.duration_s for clip in held) for name, held in members.items()}
    middle_s = median(lengths_s.values()) if lengths_s else 0.0
    made = []
    for name, held in sorted(members.items()):
        speakers = Counter(clip.speaker_id for clip in held)
        main = min(speakers, key=lambda speaker: (-speakers[speaker], speaker))
        made.append(_Component(name, len(held), (main, lengths_s[name] > middle_s)))
    return made


def _by_hash(free: Iterable[_Component], split: settings.Split, seed: int) -> dict[str, str]:
    found = {}
    for one in free:
        drawn = rng.unit(seed, "split", one.name)
        in_test = drawn < split.validation_share + split.test_share
        found[one.name] = "validation" if drawn < split.validation_share else "test" if in_test else "train"
    return found


def _dealt(
    free: Sequence[_Component],
    split: settings.Split,
    seed: int,
    everything: Iterable[_Component],
    fixed: Mapping[str, str],
) -> dict[str, str]:
    """Largest first, each to the split that is furthest below its share; the last ones fill splits that are still empty.

    How far below is counted over all clips, among those of the same speaker, and among those of the same speaker and length.
    Equal sizes come in a seeded order. Half of the size makes it round to the nearest (Sainte-Laguë, 1910).
    """
    shares = {
        "train": 1.0 - split.validation_share - split.test_share,
        "validation": split.validation_share,
        "test": split.test_share,
    }
    held: Counter[tuple[object, str]] = Counter()

    def groups(one: _Component) -> tuple[object, ...]:
        return ("all", one.stratum[0], one.stratum)

    def place(one: _Component, part: str) -> None:
        for group in groups(one):
            held[group, part] += one.num_clips

    for one in everything:
        if one.name in fixed:
            place(one, fixed[one.name])
    found: dict[str, str] = {}
    order = sorted(free, key=lambda one: (-one.num_clips, rng.key(seed, "split", one.name)))
    for number, one in enumerate(order):
        empty = [part for part in SPLITS if not held["all", part]]
        choice = empty if len(order) - number <= len(empty) else SPLITS
        fill = {
            part: sum((held[group, part] + one.num_clips / 2) / shares[part] for group in groups(one))
            for part in choice
        }
        found[one.name] = min(choice, key=fill.__getitem__)
        place(one, found[one.name])
    return found


def _require_three(
    split_of: Mapping[str, str], component_of: Mapping[str, str], joined_by: Mapping[str, Sequence[str]]
) -> None:
    empty = [name for name in SPLITS if name not in split_of.values()]
    if not empty:
        return
    members: dict[str, list[str]] = {}
    for recording, component in component_of.items():
        members.setdefault(component, []).append(recording)
    held = []
    for component, names in sorted(members.items()):
        why = f" ({'; '.join(joined_by[component][:2])})" if component in joined_by else ""
        held.append(f"{len(names)} recordings: {', '.join(names[:5])}{why}")
    if len(members) >= len(SPLITS):
        raise SplitError(
            f"No recording fell to {' and '.join(empty)} ({len(members)} components). Raise split.validation_share and "
            f"split.test_share in params.yaml, or change seed."
        )
    raise SplitError(
        f"{len(members)} independent recordings cannot make three splits (train, validation, test):\n{listing(held)}\n"
        f"Recordings that share an audio file or a performance are one. Add recordings, or correct recording_id in the manifest."
    )


def _assignments(
    clips: Iterable[CleanClip], component_of: Mapping[str, str], split_of: Mapping[str, str]
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
