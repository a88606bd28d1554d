"""Who may be trained on: one record per speaker under consent/, and everything that is missing in it.

The gate asks for the purpose `train`, promotion for `clone`. The fields are explained in consent/README.md. Only a record's
sha256 and what it allows ever leave that directory.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from voicelathe import digest, layout, records
from voicelathe.data import watermark as watermarks
from voicelathe.errors import ConsentError, RecordError

SCHEMA = "voicelathe.consent/1"
SPEAKER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"  # it becomes a file name
PURPOSES = ("train", "clone", "commercial", "ads", "political")
GRANTED_BY = {"adult": "self", "minor": "guardian", "deceased": "estate"}
PERSONAL = (
    "statement_text",
    "compensation_ref",
    "contact_ref",
    "issued_by",
    "signature",
    "speaker_embedding_check",
)
PERSONAL_VALUE = re.compile(
    rf"({'|'.join(PERSONAL)}) = .*: expected", re.DOTALL
)  # messages end in logs and on pages
DEMANDED = "watermark_required cannot be honoured"
EVIDENCE = ("signed_pdf", "audio_statement", "licence")


@dataclass(frozen=True)
class ConsentEvidence:
    """A document or recording that shows the consent; `path` only where the file is in this repository."""

    type: str
    sha256: str
    path: str | None


@dataclass(frozen=True)
class Consent:
    """What one speaker allows. Days are ISO, first and last included; an empty list allows nothing, "*" anything."""

    schema: str
    speaker_id: str
    subject_kind: str
    granted_by: str
    purposes: dict[str, bool]
    languages: list[str]
    models_allowed: list[str]
    territories: list[str]
    valid_from: str
    valid_until: str | None
    revocable: bool
    revoked_at: str | None
    evidence: list[ConsentEvidence]
    statement_audio_sha256: str | None
    statement_text: str | None
    speaker_embedding_check: dict[str, Any] | None
    compensation_ref: str | None
    contact_ref: str | None
    disclosure_required: bool
    watermark_required: bool
    issued_by: str
    signature: str | None


def path_of(speaker_id: str, directory: Path = layout.CONSENT) -> Path:
    """Where a speaker's record lies. Raises ConsentError for an id that cannot be a file name."""
    if not re.fullmatch(SPEAKER, speaker_id):
        raise ConsentError(
            f"speaker_id {speaker_id[:80]!r} cannot name a consent record: letters, digits, '.', '_' and '-', at most 64. "
            f"Rename the speaker in the manifest, or import it with another --speaker."
        )
    return directory / f"{speaker_id}.json"


def is_missing(speaker_id: str, directory: Path = layout.CONSENT) -> bool:
    """Whether a record could lie there and does not."""
    return re.fullmatch(SPEAKER, speaker_id) is not None and not path_of(speaker_id, directory).is_file()


def load(speaker_id: str, directory: Path = layout.CONSENT) -> Consent:
    """Read a record. Raises ConsentError when it is missing, is no record, or is somebody else's."""
    path = path_of(speaker_id, directory)
    if not path.is_file():
        raise ConsentError(
            f"{path} is missing. Write it with the speaker: voicelathe consent new {speaker_id}"
        )
    try:
        consent = records.from_json(Consent, _with_paths(digest.read_json(path)), str(path))
    except RecordError as problem:
        said = PERSONAL_VALUE.sub(r"\1: expected", problem.problem)
        raise ConsentError(
            f"{path} is not a consent record: {said} Correct it; see {directory}/README.md."
        ) from None
    if consent.speaker_id != speaker_id:
        raise ConsentError(
            f"{path} is the record of {consent.speaker_id!r}, not of {speaker_id!r}. Correct or rename it."
        )
    return consent


def problems(
    speaker_id: str,
    purpose: str,
    on: date,
    languages: Iterable[str] = (),
    directory: Path = layout.CONSENT,
    models: Iterable[str] = (),
    watermark: str | None = None,
) -> list[str]:
    """Everything that keeps a speaker from being used for a purpose on a day; empty when nothing does.

    `models`: every name that the model goes by (its base, its family); none where no model is known yet. `watermark`: the
    plug-in that marks what is given out (params.yaml: consent.watermark).
    """
    try:
        consent = load(speaker_id, directory)
        found = [
            *_problems(consent, purpose, on, languages),
            *_evidence(consent, directory.parent),
            *_limits(consent, purpose, set(models), watermark),
        ]
        return [f"{path_of(speaker_id, directory)}: {text}" for text in found]
    except ConsentError as problem:
        return [str(problem)]


def require(
    speakers: Mapping[str, Iterable[str]], purpose: str, on: date, directory: Path = layout.CONSENT
) -> dict[str, str]:
    """sha256 of every speaker's record; `speakers` names the languages used of each. Raises ConsentError with all problems."""
    found = [
        text for name in sorted(speakers) for text in problems(name, purpose, on, speakers[name], directory)
    ]
    if found:
        lines = "\n".join(f"  {text}" for text in found)
        raise ConsentError(f"No valid consent for purpose {purpose!r} on {on.isoformat()}:\n{lines}")
    return digests(speakers, directory)


def digests(speakers: Iterable[str], directory: Path = layout.CONSENT) -> dict[str, str]:
    """sha256 of each speaker's record; empty for a speaker without one, which only policy `research` lets through."""
    return {name: _digest(name, directory) for name in sorted(speakers)}


def _digest(speaker_id: str, directory: Path) -> str:
    try:
        path = path_of(speaker_id, directory)
    except ConsentError:
        return ""
    return digest.of_file(path) if path.is_file() else ""


def new_record(
    speaker_id: str,
    purposes: Sequence[str],
    languages: Sequence[str],
    valid_from: date,
    issued_by: str,
    subject_kind: str = "adult",
) -> dict[str, Any]:
    """A record to complete and sign. Its evidence and contact are empty, so it is not valid yet."""
    path_of(speaker_id)
    if unknown := sorted(set(purposes) - set(PURPOSES)):
        raise ConsentError(f"purpose {unknown[0]!r} is none of {', '.join(PURPOSES)}.")
    if subject_kind not in GRANTED_BY:
        raise ConsentError(f"subject_kind {subject_kind!r} is none of {', '.join(GRANTED_BY)}.")
    nothing = dict.fromkeys(("statement_audio_sha256", "statement_text", "speaker_embedding_check"))
    record = Consent(
        schema=SCHEMA,
        speaker_id=speaker_id,
        subject_kind=subject_kind,
        granted_by=GRANTED_BY[subject_kind],
        purposes={purpose: purpose in purposes for purpose in PURPOSES},
        languages=list(languages),
        models_allowed=["*"],
        territories=["*"],
        valid_from=valid_from.isoformat(),
        valid_until=None,
        revocable=True,
        revoked_at=None,
        evidence=[],
        **nothing,
        compensation_ref=None,
        contact_ref=None,
        disclosure_required=True,
        watermark_required=False,
        issued_by=issued_by,
        signature=None,
    )
    return asdict(record)


def _with_paths(raw: Any) -> Any:
    """The record with the one field filled in that may be left out: the path of a piece of evidence."""
    if not isinstance(raw, dict) or not isinstance(raw.get("evidence"), list):
        return raw
    return {
        **raw,
        "evidence": [{"path": None, **one} if isinstance(one, dict) else one for one in raw["evidence"]],
    }


def _problems(consent: Consent, purpose: str, on: date, languages: Iterable[str]) -> Iterator[str]:
    if consent.schema != SCHEMA:
        yield f"schema is {consent.schema!r}, this version reads {SCHEMA!r}"
    if consent.subject_kind not in GRANTED_BY:
        yield f"subject_kind is {consent.subject_kind!r}, not one of {', '.join(GRANTED_BY)}"
    elif consent.granted_by != GRANTED_BY[consent.subject_kind]:
        yield f"granted_by is {consent.granted_by!r}; for {consent.subject_kind} it is {GRANTED_BY[consent.subject_kind]}"
    if consent.purposes.get(purpose) is not True:
        yield f"purposes.{purpose} is not true"
    for language in sorted(set(languages) - set(consent.languages)):
        if "*" not in consent.languages:
            yield f"languages {consent.languages} do not hold {language!r}"
    yield from _when(consent, on)


def _evidence(consent: Consent, project: Path) -> Iterator[str]:
    """A document in the repository must be the one that was named; the sha256 of others is taken on trust."""
    if not consent.evidence:
        yield "evidence is empty; name a signed document, a spoken statement or a licence by its sha256"
    for one in consent.evidence:
        is_digest = re.fullmatch("[0-9a-f]{64}", str(one.sha256)) and len(set(one.sha256)) > 1
        if one.type not in EVIDENCE or not is_digest:
            yield f"evidence {one.type!r} with sha256 {one.sha256!r}: needs one of {', '.join(EVIDENCE)} and 64 hex digits"
        elif one.path is not None:
            yield from _document(one.path, one.sha256, project)
    if not consent.contact_ref:
        yield "contact_ref is empty; say where this person can be reached"


def _document(path: str, sha256: str, project: Path) -> Iterator[str]:
    if Path(path).is_absolute() or ".." in Path(path).parts:
        yield f"evidence path {path!r} leads out of the project"
    elif not (project / path).is_file():
        yield f"evidence {path} is missing; restore it, or leave `path` out where the document is kept elsewhere"
    elif (found := digest.of_file(project / path)) != sha256:
        yield f"evidence {path} has sha256 {found}, the record names {sha256}"


def _limits(consent: Consent, purpose: str, models: set[str], watermark: str | None) -> Iterator[str]:
    """What a record allows beyond purpose, language and time. What nothing here can keep is refused, not ignored."""
    for name, allowed in (("models_allowed", consent.models_allowed), ("territories", consent.territories)):
        if not allowed:
            yield f'{name} is empty, which allows nothing; "*" is any'
    if models and consent.models_allowed and not {*models, "*"} & {*consent.models_allowed}:
        yield f"models_allowed {consent.models_allowed} do not hold {' or '.join(sorted(models))}"
    if purpose == "train":
        return
    if consent.territories and "*" not in consent.territories:
        yield (
            f'territories {consent.territories} cannot be honoured: nothing here knows where speech is heard. Agree on "*" with the '
            "speaker, or do not put this voice into production"
        )
    if (unmarked := watermark_problem(consent, watermark)) is not None:
        yield unmarked
    if consent.signature is not None:
        yield "signature cannot be honoured: no public key is on record to check it with. Keep the signed document as evidence, and null here"


def watermark_problem(consent: Consent, watermark: str | None) -> str | None:
    """Why speech of this voice could not carry the mark that the record or the settings demand; None when it can, or need not."""
    if watermark is not None:
        problem = watermarks.problem(watermark)
        demanded = f"{DEMANDED}: " if consent.watermark_required else ""
        return f"{demanded}{problem}" if problem else None
    if not consent.watermark_required:
        return None
    return (
        f"{DEMANDED}: no model family here writes a watermark into its sound, and consent.watermark in "
        f"params.yaml names no plug-in that does. Install a package that offers one (entry points {watermarks.GROUP}) and name it there, "
        "or do not put this voice into production"
    )


def _when(consent: Consent, on: date) -> Iterator[str]:
    try:
        first = date.fromisoformat(consent.valid_from)
        last, revoked = (
            date.fromisoformat(day) if day else None for day in (consent.valid_until, consent.revoked_at)
        )
    except (TypeError, ValueError) as problem:
        yield f"valid_from, valid_until or revoked_at is not a day such as 2026-11-21 ({problem})"
        return
    if on < first:
        yield f"valid_from is {consent.valid_from}"
    if last is not None and on > last:
        yield f"valid_until was {consent.valid_until}"
    if revoked is not None and on >= revoked:
        yield f"revoked_at is {consent.revoked_at}"
