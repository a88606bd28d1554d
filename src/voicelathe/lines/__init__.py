"""The lines that candidates speak: packs below lines/, one JSON object a line, in the order in which they are spoken.

A pack is written by hand or by `voicelathe lines propose`. Half of a good one are held-out lines: sentences of the validation
split, whose real recording says how well the line can be said at all. docs/lines.md has the format.
"""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from voicelathe import records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data.manifest import jsonl
from voicelathe.errors import LinesError, listing
from voicelathe.lines import checks, freezing
from voicelathe.records import CleanClip, PackLine

OPTIONAL = ("speaker", "clip_id", "recording_id")  # may be left out by hand: null
__all__ = [
    "commonest_language",
    "missing_recordings",
    "of",
    "packs",
    "read",
    "recorded",
    "require_recordings",
    "write",
]


def read(path: Path) -> list[PackLine]:
    """The lines of a pack in their order. Raises LinesError with every problem and its place in the file."""
    if not path.is_file():
        raise LinesError(
            f"{path}: no such pack of lines. Make one: voicelathe lines propose --out {path}. Or restore it from git."
        )
    pack, problems = [], []
    for number, raw in enumerate(path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines(), 1):
        if not raw.strip():
            continue
        try:
            pack.append((number, _line(raw)))
        except jsonl.LineProblem as problem:
            problems.append(f"line {number}: {problem.detail}")
    problems += checks.of(pack)
    if problems:
        raise LinesError(
            f"{path} is not a pack of lines:\n{listing(problems)}\nCorrect the file; docs/lines.md has its format."
        )
    if not pack:
        raise LinesError(
            f"{path} holds no line, so nobody would speak. Fill it: voicelathe lines propose --out {path}"
        )
    return [line for _, line in pack]


def _line(raw: bytes) -> PackLine:
    """Raises LineProblem for what is no line; OPTIONAL fields may be left out."""
    value: dict[str, str | None] = {**dict.fromkeys(OPTIONAL), **jsonl.parse(raw)}
    names = [field.name for field in fields(PackLine)]
    if missing := [name for name in names if name not in value]:
        raise jsonl.LineProblem("missing", f"{', '.join(missing)} missing")
    if unknown := [name for name in value if name not in names]:
        raise jsonl.LineProblem("unknown", f"unknown {', '.join(unknown)}; there are {', '.join(names)}")
    for name, one in value.items():
        if not isinstance(one, str) and (one is not None or name not in OPTIONAL):
            raise jsonl.LineProblem("type", f"{name} = {one!r:.80}: expected a text")
    return PackLine(**value)  # type: ignore[arg-type]


def write(path: Path, pack: Iterable[PackLine]) -> None:
    """Write a pack and read it back, so that what is written can be read."""
    records.write(path, pack)
    read(path)


def of(params: schema.Params, recipe: str, root: Path = Path()) -> list[PackLine]:
    """The lines of a recipe. Raises LinesError for a pack that is wrong, or frozen and changed."""
    how = find_recipe(params, recipe).listen
    pack = read(root / how.lines)
    freezing.require(pack, root / how.lines, how.lines_digest, recipe)
    return pack


def packs(params: schema.Params) -> Iterator[tuple[str, list[PackLine]]]:
    """Every pack that a recipe names, once, with its path, in the order of the paths."""
    named = {params.recipes[name].listen.lines: name for name in sorted(params.recipes, reverse=True)}
    for path, recipe in sorted(named.items()):
        yield path, of(params, recipe)


def recorded(params: schema.Params, clips: Sequence[CleanClip]) -> dict[str, list[PackLine]]:
    """Every pack by its path; raises LinesError when a held-out line is none of `clips`, those of the validation split."""
    found = dict(packs(params))
    for path, pack in found.items():
        require_recordings(pack, clips, path)
    return found


def missing_recordings(pack: Sequence[PackLine], clips: Iterable[CleanClip]) -> list[str]:
    """What is wrong with held-out lines of which the validation split holds `clips`."""
    known = {clip.clip_id: clip for clip in clips}
    found = []
    for line in pack:
        if line.clip_id is None:
            continue
        clip = known.get(line.clip_id)
        if clip is None:
            found.append(f"{line.id}: the clip is not in the validation split ({line.text!r:.80})")
            continue
        for name, seen, real in (
            ("text", line.text, clip.text),
            ("language", line.language, clip.language),
            ("speaker", line.speaker, clip.speaker_id),
            ("recording_id", line.recording_id, clip.recording_id),
        ):
            if seen != real:
                found.append(f"{line.id}: {name} is {seen!r:.80}, but that of the clip is {real!r:.80}")
    return found


def require_recordings(pack: Sequence[PackLine], clips: Iterable[CleanClip], path: str) -> None:
    """Raises LinesError when a held-out line has no real recording any more."""
    if problems := missing_recordings(pack, clips):
        raise LinesError(
            f"{path}: {len(problems)} held-out lines do not fit the validation split:\n{listing(problems)}\n"
            f"The data or the split changed. Propose a pack anew (voicelathe lines propose --out {path} --replace), remove these lines, or keep "
            "the split as it was (voicelathe freeze NAME, before data is added)."
        )


def commonest_language(pack: Sequence[PackLine]) -> str:
    """Of most lines; of the first line among equals."""
    said = [line.language for line in pack]
    return max(dict.fromkeys(said), key=said.count)
