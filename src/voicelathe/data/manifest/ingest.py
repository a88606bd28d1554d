"""From a raw manifest to rows with ids: the manifest and the audio are checked against their pins, and nothing is lost or judged.

DVC follows a file that changed without a word. So params.yaml pins the sha256 of the manifest and of its audio, and a change
stops the pipeline until somebody accepts it with `voicelathe pin`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from voicelathe import digest, layout
from voicelathe.config import schema
from voicelathe.data.audio import files
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.manifest import formats
from voicelathe.errors import ManifestError, listing
from voicelathe.parallel import local
from voicelathe.parallel.needs import TO_STDERR, Needs
from voicelathe.records import ManifestRow, RejectedLine

FILES_PER_SHARD = 256
AUDIO_LIST = layout.CACHE / "audio.sha256"  # of the last accepted ingest, so that a change can be named
IN_THIS_PROCESS = schema.Engine("serial", 1)


@dataclass(frozen=True)
class Ingested:
    """Every line of the raw manifest, as a row or as rejected, and the sha256 of every audio file that is there."""

    rows: list[ManifestRow]
    rejected: list[RejectedLine]
    audio: dict[str, str]
    details: dict[str, str]  # of files that cannot be used: what was seen
    notes: list[str]


@dataclass(frozen=True)
class _Audio:
    """sha256 of a file, or the code that says why there is none, with what was seen."""

    sha256: str | None
    problem: str | None
    detail: str = ""


def read_pinned(ingest: schema.Ingest, how: schema.Engine = IN_THIS_PROCESS) -> Ingested:
    """Read the pinned manifest. Raises ManifestError when it or the audio is not what was pinned, with both hashes."""
    _check_manifest(ingest)
    found = read(ingest, how)
    _check_audio(ingest, found)
    digest.write_text(AUDIO_LIST, audio_list(found.audio))
    return found


def pins(ingest: schema.Ingest, how: schema.Engine = IN_THIS_PROCESS) -> tuple[str, str]:
    """What params.yaml has to pin now: sha256 of the manifest, and the digest of its audio files."""
    found = read(ingest, how)
    return digest.of_file(Path(ingest.manifest)), digest.of_value(found.audio)


def read(ingest: schema.Ingest, how: schema.Engine) -> Ingested:
    """The manifest as it is, whatever the pins say. Costs one read of every audio file; nothing is decoded."""
    lines, notes = formats.read(ingest)
    raw = [one for one in lines if isinstance(one, formats.RawRow)]
    audio = _hash_all(Path(ingest.audio_root), sorted({row.audio for row in raw}), how)
    _require_audio(audio, ingest)
    return Ingested(
        rows=_identified(raw, audio),
        rejected=[one for one in lines if isinstance(one, RejectedLine)],
        audio={name: one.sha256 for name, one in audio.items() if one.sha256 is not None},
        details={name: one.detail for name, one in audio.items() if one.problem is not None},
        notes=notes,
    )


def audio_list(audio: dict[str, str]) -> str:
    """The lines that `sha256sum --check` reads, in the order of the paths."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(audio.items()))


def _hash_all(root: Path, names: Sequence[str], how: schema.Engine) -> dict[str, _Audio]:
    if not root.is_dir():
        raise ManifestError(f"ingest.audio_root = {str(root)!r} is no directory. Set it in params.yaml.")
    pieces = local.cut(names, FILES_PER_SHARD)
    shards = local.map_shards(partial(_hash_some, root), pieces, how, Needs.of(root, names), TO_STDERR)
    return {name: one for shard in shards for name, one in shard}


def _hash_some(root: Path, names: Sequence[str]) -> list[tuple[str, _Audio]]:
    return [(name, _hash_one(root, name)) for name in names]


def _hash_one(root: Path, name: str) -> _Audio:
    try:
        return _Audio(files.hash_file(root, name), None)
    except AudioProblem as problem:
        return _Audio(None, problem.code, problem.detail)


def _require_audio(audio: dict[str, _Audio], ingest: schema.Ingest) -> None:
    if not any(one.sha256 for one in audio.values()):
        raise ManifestError(
            f"None of the {len(audio)} audio files that {ingest.manifest} names can be opened below ingest.audio_root = "
            f"{ingest.audio_root!r}:\n{listing(f'{name}: {one.problem}, {one.detail}' for name, one in audio.items())}"
        )


def _identified(raw: Sequence[formats.RawRow], audio: dict[str, _Audio]) -> list[ManifestRow]:
    """Rows with their ids; the second of two rows that agree in all that makes an id gets `-2`, in the order of the manifest."""
    times_seen: Counter[str] = Counter()
    rows = []
    for row in raw:
        file = audio[row.audio]
        identity = [file.sha256 or f"missing:{row.audio}", row.start_s, row.end_s, row.text, row.speaker_id]
        identity += [] if row.channel is None else [row.channel]
        clip_id = digest.of_value(identity)[:16]
        times_seen[clip_id] += 1
        if times_seen[clip_id] > 1:
            clip_id = f"{clip_id}-{times_seen[clip_id]}"
        rows.append(
            ManifestRow(
                **{**vars(row), "extra": dict(row.extra)},
                clip_id=clip_id,
                audio_sha256=file.sha256,
                audio_problem=file.problem,
            )
        )
    return rows


def _check_manifest(ingest: schema.Ingest) -> None:
    path = Path(ingest.manifest)
    if not path.is_file():
        raise ManifestError(
            f"ingest.manifest = {ingest.manifest!r}: there is no such file. Set it in params.yaml."
        )
    if (now := digest.of_file(path)) != ingest.sha256:
        raise ManifestError(
            f"{path} is not the manifest that params.yaml pins.\n  pinned {ingest.sha256}\n  found  {now}\n"
            f"Restore the file, or, if the change is meant, accept it: voicelathe pin"
        )


def _check_audio(ingest: schema.Ingest, found: Ingested) -> None:
    if (now := digest.of_value(found.audio)) == ingest.audio_digest:
        return
    raise ManifestError(
        f"The audio below {ingest.audio_root} is not the audio that params.yaml pins.\n"
        f"  pinned {ingest.audio_digest}\n  found  {now}\n{_changes(ingest.audio_digest, found.audio)}"
        f"Restore the files, or, if the change is meant, accept it: voicelathe pin"
    )


def _changes(pinned: str, now: dict[str, str]) -> str:
    """The files that changed, as far as the list of the last ingest can tell: only if it is the list that was pinned."""
    if not AUDIO_LIST.is_file():
        return ""
    lines = AUDIO_LIST.read_text(encoding="utf-8").splitlines()
    before = {name: sha256 for sha256, name in (line.split("  ", 1) for line in lines if "  " in line)}
    if digest.of_value(before) != pinned:
        return ""
    words = {(True, True): "changed", (True, False): "gone", (False, True): "new"}
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return listing(f"{words[name in before, name in now]}: {name}" for name in names) + "\n"
