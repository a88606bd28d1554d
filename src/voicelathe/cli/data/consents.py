"""`voicelathe consent`: one record per speaker, written with the speaker and checked before training and before promotion."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from voicelathe import digest, layout
from voicelathe.cli import screen
from voicelathe.errors import ConsentError

EVIDENCE_TYPES = {
    ".pdf": "signed_pdf",
    **dict.fromkeys((".wav", ".flac", ".mp3", ".ogg", ".opus"), "audio_statement"),
}


class Purpose(StrEnum):
    """What a speaker may allow; the same names as in data.consent."""

    TRAIN = "train"
    CLONE = "clone"
    COMMERCIAL = "commercial"
    ADS = "ads"
    POLITICAL = "political"


Kind = Literal["adult", "minor", "deceased"]  # whose voice it is decides who can grant consent

Speaker = Annotated[
    str, typer.Argument(metavar="SPEAKER", help="The speaker_id of the manifest; a pseudonym.")
]
Speakers = Annotated[
    list[str] | None, typer.Argument(metavar="SPEAKER...", help="Default: those of the manifest.")
]
Purposes = Annotated[
    list[Purpose],
    typer.Option(
        "--purpose", metavar="PURPOSE", help="train, clone, commercial, ads or political; repeat it."
    ),
]
Languages = Annotated[
    list[str], typer.Option("--language", metavar="CODE", help="Code of a language, '*' for any; repeat it.")
]
EvidenceFile = Annotated[
    list[Path],
    typer.Option(
        "--evidence", metavar="FILE", help="Signed document or spoken statement; only its sha256 is kept."
    ),
]
Contact = Annotated[
    str, typer.Option(metavar="WHERE", help="Where the keeper of the records finds this person; no address.")
]
IssuedBy = Annotated[str, typer.Option(metavar="WHO", help="Who writes this record.")]
SubjectKind = Annotated[Kind, typer.Option("--kind", help="Whose voice it is.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    group = typer.Typer(help="Consent records of speakers.", no_args_is_help=True)
    group.command("new")(new)
    group.command("check")(check)
    group.command("list")(show)
    app.add_typer(group, name="consent")


def new(
    speaker: Speaker,
    purposes: Purposes,
    languages: Languages,
    issued_by: IssuedBy,
    evidence: EvidenceFile = [],  # noqa: B006  (typer needs a list and never changes it)
    contact: Contact = "",
    kind: SubjectKind = "adult",
) -> None:
    """Write consent/SPEAKER.json from what the speaker granted, and say what it still lacks."""
    from voicelathe.data import consent

    path = consent.path_of(speaker)
    if path.exists():
        raise ConsentError(f"{path} exists. Edit it, or move it away first; consent is never overwritten.")
    record = consent.new_record(speaker, purposes, languages, date.today(), issued_by, kind)
    record["contact_ref"] = contact or None
    record["evidence"] = [
        {"type": _evidence_type(file), "sha256": _sha256(file), "path": None} for file in evidence
    ]
    digest.write_json(path, record)
    if "@" in contact or sum(map(str.isdigit, contact)) > 5:
        screen.say(
            f"Warning: {path} goes into git, and --contact looks like an address or a number. Git forgets nothing: write a reference to where "
            "it is kept instead, for example crm/1234."
        )
    screen.say(f"Written: {path}. Read it with the speaker, correct it, commit it.")
    problems = consent.problems(speaker, "train", date.today(), [tag for tag in languages if tag != "*"])
    for problem in problems:
        screen.say(f"Not valid yet: {problem}")
    if not problems:
        screen.say(f"Valid for {', '.join(purposes)}.")


def check(speakers: Speakers = None) -> None:
    """Say which speakers may be trained on today, and whose voice may be put into production."""
    from voicelathe.config import params
    from voicelathe.data import consent

    wanted = {name: _languages_of(name) for name in speakers} if speakers else speakers_in_use()
    if not wanted:
        raise ConsentError(
            f"No speakers to check: {layout.MANIFEST} does not exist yet. Name them, or: dvc repro ingest"
        )
    watermark = params.load().consent.watermark if params.FILE.is_file() else None
    rows, missing = [], []
    for name, languages in sorted(wanted.items()):
        found = {
            purpose: consent.problems(name, purpose, date.today(), languages, watermark=watermark)
            for purpose in ("train", "clone")
        }
        rows.append((name, *("yes" if not found[purpose] else "no" for purpose in ("train", "clone"))))
        missing += [problem for problem in found["train"] or found["clone"]]
    screen.table("consent today", ("speaker", "train", "clone"), rows)
    for problem in missing:
        screen.say(problem)
    if any(row[1] == "no" for row in rows):
        raise ConsentError(
            "Training stops at the gate for the speakers marked no, unless consent.policy is research."
        )


def show() -> None:
    """List the consent records of the project."""
    from voicelathe.data import consent

    names = sorted(path.stem for path in layout.CONSENT.glob("*.json"))
    if not names:
        screen.say(f"No records under {layout.CONSENT}/. Write one: voicelathe consent new SPEAKER ...")
        return
    rows = []
    for name in names:
        one = consent.load(name)
        until = f"revoked {one.revoked_at}" if one.revoked_at else (one.valid_until or "until revoked")
        rows.append(
            (
                name,
                one.subject_kind,
                ", ".join(purpose for purpose, granted in one.purposes.items() if granted),
                ", ".join(one.languages),
                one.valid_from,
                until,
            )
        )
    screen.table("consent records", ("speaker", "kind", "purposes", "languages", "from", "until"), rows)


def print_missing(speakers: Mapping[str, Iterable[str]]) -> None:
    """The exact line to type for each speaker whose record is missing, and what is wrong with the others."""
    from voicelathe.data import consent

    for name, languages in sorted(speakers.items()):
        problems = consent.problems(name, "train", date.today(), languages)
        if not problems:
            screen.say(f"Consent of {name}: valid for training.")
        elif not consent.is_missing(name):
            for problem in problems:
                screen.say(f"Consent of {name}: {problem}")
        else:
            flags = " ".join(f"--language {shlex.quote(language)}" for language in sorted(set(languages)))
            screen.say(
                f"Consent of {name} is missing; the gate will stop without it. Once the speaker has agreed:\n"
                f"  voicelathe consent new {name} --purpose train --purpose clone {flags} "
                "--evidence SIGNED.pdf --contact WHERE --issued-by YOU"
            )


def speakers_in_use() -> dict[str, set[str]]:
    """Speakers of the ingested manifest with the languages they speak; empty before the first ingest."""
    from voicelathe import records

    found: dict[str, set[str]] = {}
    if layout.MANIFEST.is_file():
        for row in records.read(layout.MANIFEST, records.ManifestRow):
            found.setdefault(row.speaker_id, set()).add(row.language)
    return found


def _languages_of(speaker: str) -> set[str]:
    return speakers_in_use().get(speaker, set())


def _evidence_type(file: Path) -> str:
    return EVIDENCE_TYPES.get(file.suffix.lower(), "licence")


def _sha256(file: Path) -> str:
    if not file.is_file():
        raise ConsentError(f"--evidence {file}: there is no such file.")
    return digest.of_file(file)
