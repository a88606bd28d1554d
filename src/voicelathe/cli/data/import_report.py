"""What `voicelathe import` says of the rows that it read: how many, of whom, the first of them, and what is wrong with the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from voicelathe.cli import screen
from voicelathe.cli.data import consents, recordings

if TYPE_CHECKING:
    from voicelathe.config import schema
    from voicelathe.data.manifest import importing
    from voicelathe.data.manifest.ingest import Ingested

MIN_RECORDINGS = 3  # one each for train, validation and test
SHOWN = 5


def unread(probe: importing.Probe) -> None:
    """Names the columns that nobody reads."""
    from voicelathe.data.manifest import formats, jsonl, splits_named

    held = {
        (name, name == "split" and splits_named.known(text) is not None)
        for row in probe.rows
        for name, text in row.extra.items()
    }
    if names := sorted({name for name, is_read in held if not is_read}):
        shown, known = jsonl.excerpt(", ".join(names).encode()), ", ".join(formats.KNOWN)
        screen.say(f"Columns that are kept but not read: {shown}. Those that are: {known}.")


def unused(read: Ingested, recipes: Mapping[str, schema.Recipe]) -> None:
    """Columns that other trainers use and that no recipe of this project does: one line each that says what to do."""
    from voicelathe import families

    named = sum(1 for row in read.rows if row.ref_audio)
    if named and not any(one.train.reference_share for one in recipes.values()):
        able = ", ".join(name for name in families.TABLE if families.spec(name).trains_with_references)
        screen.say(
            f"ref_audio: {named} rows name a reference, and no recipe trains with it. To train with it, set train.reference_share in a "
            f"recipe ({able} only, docs/families/voxcpm2.md); otherwise nothing is to be done, and exports keep it."
        )
    _controls(read, any(one.train.control for one in recipes.values()))


def _controls(read: Ingested, is_used: bool) -> None:
    """Rows that say how they are spoken, and what cannot be trained with."""
    from voicelathe import families
    from voicelathe.data import control

    held = [(row.line, row.control) for row in read.rows if row.control and row.control.strip()]
    if held and not is_used:
        able = ", ".join(name for name in families.TABLE if families.spec(name).trains_with_control)
        screen.say(
            f"control: {len(held)} rows have one, and no recipe trains with it. To train with it, set train.control: true in a recipe "
            f"({able} only, docs/families/voxcpm2.md). It is never counted as spoken: leave it out of the text."
        )
    bad = [(line, one, why) for line, one in held if (why := control.problem(one)) is not None]
    for line, one, why in bad[:SHOWN]:
        screen.say(f"Warning: line {line}: control {control.shown(one)} cannot be trained with ({why}).")
    if len(bad) > SHOWN:
        screen.say(f"  ... and {len(bad) - SHOWN} more controls that cannot be trained with")


def report(wanted: schema.Ingest, read: Ingested) -> None:
    """Everything that a person should know before the pipeline runs."""
    from voicelathe.data.audit.rules import shown

    for note in read.notes:
        screen.say(note)
    recorded = Counter(row.recording_id for row in read.rows)
    speakers: dict[str, set[str]] = {}
    for row in read.rows:
        speakers.setdefault(row.speaker_id, set()).add(row.language)
    names = sorted(speakers)
    more = f" and {len(names) - 2 * SHOWN} more" if len(names) > 2 * SHOWN else ""
    screen.say(
        f"{len(read.rows)} rows of {len(recorded)} recordings, {len(read.audio)} audio files, "
        f"speakers {', '.join(names[: 2 * SHOWN])}{more}."
    )
    if not any(row.text for row in read.rows):
        screen.say("Warning: no row has a text. The column or key with the transcript must be called text.")
    screen.say(f"The first: {read.rows[0].audio} says {shown(read.rows[0].text)}")
    if len(recorded) < MIN_RECORDINGS:
        screen.say(
            f"Warning: {len(recorded)} recordings cannot make train, validation and test; `split` will stop."
        )
    if wanted.recording_from is None:
        recordings.warn_of_single_files([(row.audio, row.recording_id) for row in read.rows])
    _languages(Counter(row.language for row in read.rows))
    _beginnings([row.text for row in read.rows])
    _markup([row.text for row in read.rows])
    _letters([(row.language, row.text) for row in read.rows if row.text and not row.text.isascii()])
    _unusable(read)
    _misnamed(wanted, read)
    _scaled(wanted, read)
    _rejected(wanted, read)
    consents.print_missing(speakers)


def lines_of_others(current: schema.Params, read: Ingested) -> None:
    """Which packs hold sentences that this corpus does not: the gate would stop there."""
    from voicelathe import lines
    from voicelathe.data.text import characters
    from voicelathe.errors import LinesError

    said = {characters.words(row.text) for row in read.rows}  # a pack has texts as the audit left them
    try:
        packs = list(lines.packs(current))
    except LinesError:
        return  # the gate says what is wrong with a pack
    for path, pack in packs:
        held_out = [line for line in pack if line.clip_id]
        if others := [line for line in held_out if characters.words(line.text) not in said]:
            screen.say(
                f"{path}: {len(others)} of {len(held_out)} held-out lines are of another corpus, and the gate will stop there. Once there is a "
                f"split (dvc repro split): voicelathe lines propose --out {path} --replace"
            )


def _languages(rows: Counter[str]) -> None:
    """Names that are no language: no recogniser, script or pace of others is found under them."""
    from voicelathe.data.text import languages

    for name in sorted(one for one in rows if not languages.is_known(one)):
        screen.say(
            f"Warning: {rows[name]} rows are in {name!r}, which is no language that is known. Rules that need the language cannot judge them; "
            "write its code, for example de."
        )


def _beginnings(texts: Sequence[str | None]) -> None:
    from voicelathe.data.text import beginnings

    for one in beginnings.common([text for text in texts if text]):
        screen.say(
            f"Warning: {one.num} of {one.of} texts begin with {one.words!r}. Where nobody says it, remove it from the manifest: the audit drops rows whose audio has no time for it."
        )


def _markup(texts: Sequence[str | None]) -> None:
    """By kind, with the first of each: the audit drops these rows, and whoever wrote the manifest can still take the markup out."""
    from voicelathe.data.text import markup, normaliser

    first: dict[str, str] = {}
    kinds: Counter[str] = Counter()
    for seen in (markup.find(normaliser.text_of(text)) for text in texts if text):
        if seen is not None:
            kind, _, what = seen.partition(": ")
            kinds[kind] += 1
            first.setdefault(kind, what)
    for kind, num in kinds.most_common():
        screen.say(
            f"Warning: {num} texts hold {kind}, for example {first[kind]!r}, which nobody says. The audit drops such rows: take it out of the manifest."
        )
    if lost := [meant for text in texts if text and (meant := markup.swallowed(text)) is not None]:
        screen.say(
            f"Warning: {len(lost)} texts have a tab or a line feed in the place of a backslash and a letter, for example where {lost[0]} was meant. The audit drops such "
            "rows. In JSON, and in most programs, a backslash is written twice."
        )


def _letters(texts: Sequence[tuple[str, str]]) -> None:
    """Texts that were misread, with the option that reads them, and letters that only look right."""
    from voicelathe.data.text import look_alikes, misread, orthography

    for language in sorted({name for name, _ in texts}):
        mine = [text for name, text in texts if name == language]
        found = misread.judge(mine, language)
        for (read_as, written_in), num in Counter(one.pair for one in found.values()).most_common():
            at, one = next((at, one) for at, one in found.items() if one.pair == (read_as, written_in))
            screen.say(
                f"Warning: {num} texts in {language} are {written_in} that was read as {read_as}: {mine[at][:40]!r} is {one.meant[:40]!r}. The audit drops such "
                f"rows. Convert the file that they came from again; its own encoding is {written_in} (--encoding {written_in}, where it is not yet UTF-8)."
            )
        if (marked := orthography.example_of_stress(mine, language)) is not None:
            screen.say(
                f"Warning: {marked[0]} of {len(mine)} texts in {language} have marks of stress, for example {marked[1]}. They stay, and are trained on: give them to all "
                "texts, and to the lines that are spoken, or take them out of the manifest."
            )
    alike = [seen for language, text in texts if (seen := look_alikes.find(text, language))]
    if alike:
        screen.say(
            f"Warning: {len(alike)} texts hold letters that only look like those of their words, for example {alike[0]}. The audit drops such rows: type them anew."
        )


def _unusable(read: Ingested) -> None:
    from voicelathe.data.audio import files

    problems = Counter(row.audio_problem for row in read.rows if row.audio_problem)
    for problem, count in sorted(problems.items()):
        first = next(row for row in read.rows if row.audio_problem == problem)
        screen.say(
            f"{count} rows whose audio is {problem}, the first on line {first.line}: {first.audio} "
            f"({read.details[first.audio]})"
        )
    endings = sorted(
        {row.audio.rpartition(".")[2] for row in read.rows if row.audio_problem == "unsupported_type"}
    )
    endings = [one for one in endings if one and one.isalnum()]
    for ending in endings[:SHOWN]:
        screen.say(files.how_to_convert(ending))
    if len(endings) > SHOWN:
        screen.say(f"The same for {', '.join(f'.{one}' for one in endings[SHOWN:])}.")


def _misnamed(wanted: schema.Ingest, read: Ingested) -> None:
    """Files that are not what their names say, by what they are: the audit drops their rows."""
    from voicelathe.data.audio import checking, files

    found: dict[str, list[str]] = {}
    for name in sorted(read.audio):
        if (what := checking.misnamed(Path(wanted.audio_root), name)) is not None:
            found.setdefault(what, []).append(name)
    for what, names in found.items():
        rename = f"{what} under another name: rename them" if what in files.CONTAINERS.values() else what
        screen.say(
            f"Warning: {len(names)} audio files are {rename}. The first: {names[0]}. The audit drops their rows."
        )


def _scaled(wanted: schema.Ingest, read: Ingested) -> None:
    """Files of floating point numbers in the scale of integers."""
    from voicelathe.data.audio import scales, waveform

    found: dict[float, list[str]] = {}
    for name in sorted(read.audio):
        if (full := waveform.full_scale(Path(wanted.audio_root), name)) != 1.0:
            found.setdefault(full, []).append(name)
    for full, names in found.items():
        screen.say(
            f"{len(names)} float WAV files hold samples in the scale of {scales.OF_INTEGERS[full]}-bit integers, the first {names[0]}. They are divided by "
            f"{full:.0f} wherever they are read; the files stay as they are."
        )


def _rejected(wanted: schema.Ingest, read: Ingested) -> None:
    lines = read.rejected
    if not lines:
        screen.say("No line was rejected.")
        return
    screen.say(f"{len(lines)} lines are no rows; the pipeline keeps them in the quarantine:")
    for line in lines[: 2 * SHOWN]:
        screen.say(f"  line {line.line}: {line.problem}, {line.detail}: {line.excerpt}")
    if len(lines) > 2 * SHOWN:
        screen.say(f"  ... and {len(lines) - 2 * SHOWN} more")
    _other_encoding(wanted, read)


def _other_encoding(wanted: schema.Ingest, read: Ingested) -> None:
    """What the first such line would be in the encodings of the language."""
    from voicelathe.data.manifest import formats

    strange = [line for line in read.rejected if line.problem == "not_utf8"]
    if strange:
        languages = Counter(row.language for row in read.rows).most_common(1)
        advice = formats.other_encoding(wanted, strange[0].line, languages[0][0] if languages else None)
        screen.say(f"{len(strange)} of them are not UTF-8, the first on line {strange[0].line}. {advice}")
