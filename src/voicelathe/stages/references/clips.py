"""Which clip does a base hear before it speaks zero-shot? One of the validation split, of the speaker with most clips there."""

from collections.abc import Collection, Sequence
from pathlib import Path

from voicelathe import layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data.split.speakers import main_speaker
from voicelathe.errors import ParamsError
from voicelathe.process import jobs
from voicelathe.records import CleanClip

REFERENCE_S = 5.0  # where nobody chose: the clip nearest to that
SHORTEST_S, LONGEST_S = 2.0, 15.0  # of clips that are tried; upstream's advice is three to ten


def reference(params: schema.Params, recipe: str, root: Path = Path()) -> jobs.Reference | None:
    """Held-out clips that give the base the speaker's voice: the one of `evaluate.reference`, or one near five seconds, and a second
    one for clips of its recording, heard in the way of `evaluate.zero_shot`; None without that or without a second clip.

    Raises ParamsError when the settings name a clip that cannot stand there.
    """
    how = find_recipe(params, recipe).evaluate
    if how.zero_shot is None:
        return None
    own = main_speaker(records.read(root / layout.split("validation"), CleanClip))
    first = None if how.reference is None else _wanted(recipe, how.reference, own, root)
    return pair(own, first, str(root / params.ingest.audio_root), how.zero_shot)


def pair(
    own: Sequence[CleanClip], first: CleanClip | None, audio_root: str, way: schema.Way
) -> jobs.Reference | None:
    """A first clip of the speaker's, by default the usual one, with the next best of another recording."""
    usual = sorted(own, key=_order)
    if len(usual) < 2:
        return None
    first = first or usual[0]
    others = [clip for clip in usual if clip.clip_id != first.clip_id]
    second = next((clip for clip in others if clip.recording_id != first.recording_id), others[0])
    return jobs.Reference([first, second], audio_root, way)


def usable(
    own: Sequence[CleanClip], first: CleanClip, barred: Collection[str], number: int
) -> list[CleanClip]:
    """`first`, and up to `number` - 1 other clips that could stand in its place, a recording after the other, near five seconds first.

    `barred`: recordings whose sentences are spoken; a base that hears one of their clips would know them.
    """
    queues: dict[str, list[CleanClip]] = {}
    for clip in sorted(own, key=_order):
        if clip.recording_id not in barred and SHORTEST_S <= _seconds(clip) <= LONGEST_S:
            queues.setdefault(clip.recording_id, []).append(clip)
    rounds = max(map(len, queues.values()), default=0)
    turns = [queue[at] for at in range(rounds) for queue in queues.values() if at < len(queue)]
    return [first, *(clip for clip in turns if clip.clip_id != first.clip_id)][:number]


def _order(clip: CleanClip) -> tuple[bool, float, str]:
    """Clips that were spoken in a manner of their own come last: a voice is not taken over from a whisper."""
    return bool((clip.control or "").strip()), abs(_seconds(clip) - REFERENCE_S), clip.clip_id


def _seconds(clip: CleanClip) -> float:
    return clip.end_s - clip.start_s


def _wanted(recipe: str, wanted: str, own: Sequence[CleanClip], root: Path) -> CleanClip:
    """Raises ParamsError with where the clip is instead."""
    for clip in own:
        if clip.clip_id == wanted:
            return clip
    where = next((name for name in layout.SPLITS if wanted in _of_split(root, name)), None)
    why = {
        None: "no clip of the three splits has that id; it was dropped, changed or never there",
        "validation": f"that is a clip of {_of_split(root, 'validation').get(wanted)}, not of {own[0].speaker_id}, whose voice is compared",
    }.get(where, f"that is a clip of the {where} split, and only a clip of the validation split may be heard")
    raise ParamsError(
        f"recipes.{recipe}.evaluate.reference = {wanted!r}: {why}. Set it to null, or let it be chosen: voicelathe references {recipe}"
    )


def _of_split(root: Path, name: str) -> dict[str, str]:
    """clip -> speaker."""
    return {clip.clip_id: clip.speaker_id for clip in records.read(root / layout.split(name), CleanClip)}
