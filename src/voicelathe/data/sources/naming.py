"""Names that other tools give to what we read, offered for a mapping: `--map start=start_s`. Nothing is read under another name unasked."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from voicelathe.data.sources import objects
from voicelathe.data.sources.rows import Line
from voicelathe.errors import ManifestError

AUDIO = (
    *("audio", "path", "wav", "wav_path", "wav_file", "audio_path", "audio_filepath", "audio_file"),
    *("file", "filename", "file_name", "file_path", "filepath", "audio_name"),
)
TEXT = ("text", "sentence", "transcript", "transcription", "normalized_text", "normalised_text", "caption")
USUAL = {
    **dict.fromkeys(AUDIO[1:], "audio"),
    **dict.fromkeys(TEXT[1:], "text"),
    **dict.fromkeys(
        ("start", "begin", "start_time", "start_sec", "offset", "start_ms", "begin_ms"), "start_s"
    ),
    **dict.fromkeys(("end", "stop", "end_time", "end_sec", "end_ms", "stop_ms"), "end_s"),
    **dict.fromkeys(
        ("speaker", "speaker_name", "spk", "spk_id", "client_id", "narrator", "voice"), "speaker_id"
    ),
    **dict.fromkeys(("lang", "locale", "language_id"), "language"),
    **dict.fromkeys(
        ("recording", "session", "session_id", "episode", "chapter", "chapter_id", "book"), "recording_id"
    ),
}
MS = "_ms"  # a column that ends so holds thousandths of a second
OF_OBJECT = ("code", "id", "name", "value")  # keys under which an object has its name
NOBODY = ""  # `--map start=`: not read, on purpose


def plain(name: str) -> str:
    """A name as tables of names have it: "File Name" is file_name."""
    return "_".join(name.strip().strip('"').lower().replace("-", " ").split())


def parsed(options: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """`theirs=ours` of every option. Raises ManifestError for another form, and for a name that is none of ours."""
    found: dict[str, str] = {}
    for option in options:
        theirs, equals, ours = (part.strip() for part in option.partition("="))
        if not equals or not theirs or (ours != NOBODY and ours not in known):
            raise ManifestError(
                f"--map {option!r}: write their name, =, and ours, for example --map start=start_s. Ours are {', '.join(known)}; "
                "nothing after = leaves a column unread."
            )
        found[theirs] = ours
    return found


def offered(names: Collection[str], own: Collection[str], given: Mapping[str, str]) -> dict[str, str]:
    """Columns that look like one of ours that the manifest does not have, and that no option speaks of.

    Of an object such as speaker, its id or name.
    """
    found: dict[str, str] = {}
    for name in sorted(names):
        head, _, last = name.rpartition(".")
        ours = USUAL.get(plain(head if last in OF_OBJECT else name))
        if (
            ours is not None
            and ours not in own
            and not {name, head} & set(given)
            and ours not in found.values()
        ):
            found[name] = ours
    return found


def options(found: Mapping[str, str]) -> str:
    return " ".join(f"--map {theirs}={ours}" for theirs, ours in found.items())


def renamed(lines: Iterable[Line], given: Mapping[str, str]) -> Iterator[Line]:
    """The rows under the names that the options give."""
    reading = {theirs: ours for theirs, ours in given.items() if ours != NOBODY}
    for line in lines:
        yield line if isinstance(line, bytes) else _renamed(line, reading)


def _renamed(row: Mapping[str, object], reading: Mapping[str, str]) -> dict[str, object]:
    found = {name: value for name, value in row.items() if name not in reading}
    for theirs, ours in reading.items():
        value = objects.value(row, theirs)
        if value is None and theirs not in row:
            continue
        if theirs not in row:
            found = objects.without(found, theirs)
        found[ours] = _seconds(value) if theirs.lower().endswith(MS) and ours.endswith("_s") else value
    return found


def _seconds(thousandths: object) -> object:
    try:
        return float(thousandths) / 1000 if isinstance(thousandths, (int, float, str)) else thousandths
    except ValueError:
        return thousandths
