"""How do long recordings and their texts become proposed clips, a page to look at them, and in the end a manifest?

Parent side: a worker decodes and listens; texts are read here, matched and cut (`data.cutting`). The recordings themselves stay untouched.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from voicelathe import layout, records
from voicelathe.config import schema
from voicelathe.data.audio import files
from voicelathe.data.cutting import cues, proposing
from voicelathe.data.cutting.clips import ClipLimits, Naming
from voicelathe.data.cutting.cues import Parsed
from voicelathe.errors import SubtitleError, listing
from voicelathe.process import jobs, runner
from voicelathe.records import CutRecording, Listened, Proposal, RecogniserRef
from voicelathe.speech import recogniser_files

FORMAT = "voicelathe-cut/1"
TEXTS = (".srt", ".vtt", ".sbv", ".ass", ".ssa", ".TextGrid", ".textgrid", ".labels", ".tsv", ".json", ".txt")
SHOWN = 10
LANGUAGE = r"\.[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*"  # a.en.srt, a.pt-BR.vtt
LATE_S = 0.5  # subtitles that are so much off are told of
SHOWN_CHARS = 100
LONG_UNCOVERED_S = 2.0


@dataclass(frozen=True)
class Source:
    """A recording below the root and the file with its text."""

    audio: str
    text: Path


def sources(path: Path, subtitles: Path | None) -> tuple[Path, list[Source]]:
    """The root and the recordings below it with their texts. Raises SubtitleError for one that has none, or two."""
    if path.is_file():
        return path.parent, [Source(path.name, subtitles or _beside(path))]
    if not path.is_dir():
        raise SubtitleError(f"{path}: no such file or folder. Name a recording, or a folder of recordings.")
    if subtitles is not None:
        raise SubtitleError(
            f"--subtitles {subtitles}: {path} is a folder. Put each text beside its recording under the same name, or name one recording."
        )
    found = sorted(one for one in path.rglob("*") if one.suffix.lower() in files.CONTAINERS and one.is_file())
    if not found:
        kinds = " ".join(files.CONTAINERS)
        raise SubtitleError(f"{path}: no recording in it ({kinds}). Convert others: ffmpeg -i IN OUT.flac")
    made, problems = [], []
    for one in found:
        try:
            made.append(Source(one.relative_to(path).as_posix(), _beside(one)))
        except SubtitleError as problem:
            problems.append(str(problem))
    if problems:
        raise SubtitleError(f"{len(problems)} of {len(found)} recordings cannot be cut:\n{listing(problems)}")
    return path, made


def _beside(recording: Path) -> Path:
    """a.srt or a.en.srt beside a.wav. Raises SubtitleError for none and for several."""
    stem = recording.with_suffix("").name
    near = [one for one in recording.parent.iterdir() if one.suffix in TEXTS and one.is_file()]
    exact = [one for one in near if one.with_suffix("").name == stem]
    tagged = [one for one in near if re.fullmatch(re.escape(stem) + LANGUAGE, one.with_suffix("").name)]
    found = exact or tagged
    if len(found) == 1:
        return found[0]
    if not found:
        raise SubtitleError(
            f"{recording}: no text beside it ({', '.join(stem + kind for kind in TEXTS[:4])} ...). Put one there, or name it: --subtitles FILE"
        )
    names = ", ".join(sorted(one.name for one in found))
    raise SubtitleError(f"{recording}: several texts beside it ({names}). Say which: --subtitles FILE")


def recogniser(chosen: schema.Params, language: str) -> RecogniserRef | None:
    """The pinned recogniser, if it knows the language. Raises RecogniserError when it is not what was pinned."""
    found = recogniser_files.reference(chosen.speech, chosen.machine)
    known = () if found is None else map(recogniser_files.code, found.languages)
    return found if recogniser_files.code(language) in known else None


def propose(
    root: Path,
    found: Sequence[Source],
    chosen: schema.Params,
    limits: ClipLimits,
    naming: Naming,
    tier: str | None = None,
    encoding: str | None = None,
) -> Proposal:
    """Listen to the recordings and propose clips.

    Raises SubtitleError, ManifestError for audio that cannot be read, and WorkerError.
    """
    language = naming.language
    parsed = [cues.read(one.text, tier, language=language, encoding=encoding) for one in found]
    ref = recogniser(chosen, language)
    if ref is None and (
        untimed := [one for one, text in zip(found, parsed, strict=True) if not text.is_timed]
    ):
        raise SubtitleError(
            f"{untimed[0].text}: a text without times needs a recogniser that knows {language!r}, and none is pinned. "
            "Give subtitles with times, or pin one: voicelathe recogniser add DIR"
        )
    scratch = layout.CACHE / "cut" / naming.name
    try:
        heard = listen(root, found, chosen, ref, language, scratch)
        return proposed(root, found, parsed, heard, limits, naming)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def listen(
    root: Path,
    found: Sequence[Source],
    chosen: schema.Params,
    ref: RecogniserRef | None,
    language: str,
    scratch: Path,
) -> list[Listened]:
    """What a worker hears in each recording; levels lie below `scratch`. Raises ManifestError or WorkerError."""
    machine = replace(chosen.machine, device="cpu")
    job = jobs.CutJob(machine, ref, language, str(root), [one.audio for one in found], str(scratch))
    runner.run(job, "cut")
    return [records.read_one(scratch / f"{number}.json", Listened) for number in range(len(found))]


def proposed(
    root: Path,
    found: Sequence[Source],
    parsed: Sequence[Parsed],
    heard: Sequence[Listened],
    limits: ClipLimits,
    naming: Naming,
) -> Proposal:
    """The proposal for recordings that were listened to."""
    clips, recordings = [], []
    ids = recording_ids(found)
    for number, (source, read, listened) in enumerate(zip(found, parsed, heard, strict=True)):
        text = cues.in_seconds(read, source.text, listened.duration_s)
        usable, notes = _within(text, listened)
        of = np.frombuffer(Path(listened.levels).read_bytes(), np.uint8)
        made = proposing.propose(number, ids[number], listened, usable, of, limits, naming)
        clips += made.clips
        uncovered_s = sum(one.end_s - one.start_s for one in made.uncovered)
        recordings.append(
            CutRecording(
                source.audio,
                listened.sha256,
                ids[number],
                listened.duration_s,
                source.text.as_posix(),
                round(made.speech_s, 3),
                round(uncovered_s, 3),
                made.shift_s,
                [*text.notes, *notes, *problems_of(text), *findings(source.text.as_posix(), listened, made)],
            )
        )
    is_checked = all(one.words is not None for one in heard)
    return Proposal(
        FORMAT,
        naming.name,
        layout.in_project(root),
        naming.language,
        is_checked,
        recordings,
        clips,
        [],
    )


def recording_ids(found: Sequence[Source]) -> list[str]:
    """The path without its extension, folders joined by _; the path as it is where two would be one."""
    plain = [Path(one.audio).with_suffix("").as_posix().replace("/", "_") for one in found]
    return [one if plain.count(one) == 1 else source.audio for one, source in zip(plain, found, strict=True)]


def _within(text: Parsed, heard: Listened) -> tuple[Parsed, list[str]]:
    """Without cues that begin behind the end of the recording, where times are all that places them."""
    late = [one for one in text.cues if one.start_s is not None and one.start_s >= heard.duration_s]
    if not late:
        return text, []
    told = f"Cues that begin behind the end of the recording ({heard.duration_s:.1f} s): {len(late)}, the first on line {late[0].line}"
    if heard.words is not None:
        return text, [f"{told}; they were placed by what was heard."]
    kept = [one for one in text.cues if one.start_s is None or one.start_s < heard.duration_s]
    if not kept:
        raise SubtitleError(
            f"{heard.audio}: every cue begins behind the end of the recording ({heard.duration_s:.1f} s). Are these the subtitles of another file?"
        )
    return Parsed(text.format, kept, text.problems, text.notes, text.overlapping), [f"{told}; left out."]


def problems_of(text: Parsed) -> list[str]:
    if not text.problems:
        return []
    return [f"Cues that cannot be used: {len(text.problems)}\n{listing(text.problems)}"]


def findings(where: str, heard: Listened, made: proposing.Cut) -> list[str]:
    """What a person should know about a recording, the wrong texts by file, line and words."""
    told = []
    if not heard.stretches:
        told.append("Nobody speaks in this recording: no clip.")
    if heard.words is None:
        told.append(
            "No recogniser knows this language: the text was not checked, and cuts follow the speech and the times of the cues."
        )
    if made.shift_s is not None and abs(made.shift_s) >= LATE_S:
        kind = "early" if made.shift_s > 0 else "late"
        told.append(
            f"The subtitles are {abs(made.shift_s):.1f} s {kind} (median); the cuts follow what was heard."
        )
    if made.wrong:
        lines = [
            f"{where}:{one.line}: says {one.text[:SHOWN_CHARS]!r}, heard {one.heard[:SHOWN_CHARS]!r}"
            for one in made.wrong
        ]
        told.append(
            f"Sentences that say something else than was heard: {len(lines)}\n{listing(lines, SHOWN)}"
        )
    if made.not_heard:
        lines = [f"{where}:{one.line}: {one.text[:80]!r}" for one in made.not_heard]
        told.append(
            f"Cues that were not heard anywhere and are in no clip: {len(lines)}\n{listing(lines, SHOWN)}"
        )
    long = [one for one in made.uncovered if one.end_s - one.start_s >= LONG_UNCOVERED_S]
    if long:
        lines = [f"{one.start_s:.1f} to {one.end_s:.1f} s" for one in long]
        told.append(f"Stretches of speech without a text, in no clip: {len(lines)}\n{listing(lines, SHOWN)}")
    return told
