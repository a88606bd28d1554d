"""A Kaldi data folder, as CosyVoice trains on, joined into one manifest: wav.scp says the audio, text the words, utt2spk the speaker.

One file can be pinned and its lines counted; three cannot. Line N of the manifest is line N of wav.scp, whatever it holds, so a
line that is no row is reported under its number.
"""

from pathlib import Path

from voicelathe import digest
from voicelathe.data import jsonl
from voicelathe.data.jsonl import LineProblem
from voicelathe.errors import ManifestError
from voicelathe.redaction import scrub

WAVS, TEXTS, SPEAKERS, SEGMENTS = "wav.scp", "text", "utt2spk", "segments"


def join(folder: Path) -> bytes:
    """The manifest: rows with id, audio, text and speaker_id. A text without audio becomes a line behind all others.

    Raises ManifestError for a folder with segments, and for an id that has two texts or two speakers.
    """
    if (folder / SEGMENTS).is_file():
        raise ManifestError(
            f"{folder / SEGMENTS}: cuts of long files are not read from Kaldi folders. Cut the audio "
            "(kaldi: extract-segments), or write a manifest with start_s and end_s."
        )
    texts, speakers = _values(folder / TEXTS), _values(folder / SPEAKERS)
    lines, seen = [], set()
    for _, data, whole in jsonl.Lines(folder / WAVS):
        try:
            if not whole:
                raise LineProblem("too_long", "")
            name, path = _pair(data)
        except LineProblem:
            lines.append(data)
            continue
        seen.add(name)
        row = {
            "id": name,
            "audio": scrub(path) if "://" in path else path,
            "text": texts.get(name),
            "speaker_id": speakers.get(name),
        }
        lines.append(
            digest.canonical_json({key: value for key, value in row.items() if value is not None}).encode()
        )
    without = [{"id": name, "text": text} for name, text in texts.items() if name not in seen]
    lines += [digest.canonical_json(row).encode() for row in without]
    return b"".join(line + b"\n" for line in lines)


def _values(path: Path) -> dict[str, str]:
    """Id and the rest of each line. A file that is not there says nothing."""
    found: dict[str, str] = {}
    if not path.is_file():
        return found
    for number, data, whole in jsonl.Lines(path):
        try:
            if not whole:
                raise LineProblem("too_long", f"more than {jsonl.MAX_LINE_BYTES} bytes on one line")
            name, value = _pair(data)
        except LineProblem as problem:
            raise ManifestError(
                f"{path}:{number}: {problem.code}, {problem.detail}. Correct the line."
            ) from None
        if found.setdefault(name, value) != value:
            raise ManifestError(
                f"{path}:{number}: {name} is given twice, differently. Remove one of the lines."
            )
    return found


def _pair(data: bytes) -> tuple[str, str]:
    name, _, value = jsonl.text_of(data).strip().partition(" ")
    name, _, tabbed = name.partition("\t")
    return name, f"{tabbed} {value}".strip()
