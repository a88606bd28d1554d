"""What does a file say of itself? That it was machine-made, by which version or base, and what the speakers allowed; no speaker is named."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from voicelathe import digest, layout, records
from voicelathe.data import consent
from voicelathe.data.lexicon import lexicon_file
from voicelathe.records import Promotion
from voicelathe.registry.speaking import reference
from voicelathe.registry.speaking.reference import CarriedClip

MACHINE_MADE = {"generated_by": "a text-to-speech model"}


def of_version(root: Path, promotion: Promotion) -> dict[str, Any]:
    """Of speech by a promoted version."""
    return {
        **MACHINE_MADE,
        "version": promotion.version,
        "recipe": promotion.recipe,
        "run_digest": promotion.run_digest,
        "candidate": promotion.candidate,
        "checkpoint_sha256": promotion.checkpoint_sha256,
        "base_digest": promotion.base_digest,
        **reference.about(promotion.reference),
        "consent": _scopes(root, promotion.speakers),
    }


def of_base(family: str, base_digest: str, decoding: dict[str, float]) -> dict[str, Any]:
    """Of speech by a base as it is."""
    return {**MACHINE_MADE, "family": family, "base_digest": base_digest, "decoding": decoding}


def of_zero_shot(
    root: Path,
    family: str,
    base_digest: str,
    decoding: dict[str, float],
    heard: CarriedClip,
) -> dict[str, Any]:
    """Of speech by a base that heard a clip of a speaker first."""
    return {
        **of_base(family, base_digest, decoding),
        **reference.about(heard.record),
        "consent": _scopes(root, [heard.clip.speaker_id]),
    }


def of_lexicon(lexicon: records.Lexicon | None) -> dict[str, str]:
    """By which respellings the text was read; nothing where it was spoken as it is written."""
    return {"lexicon": lexicon_file.identity(lexicon)} if lexicon else {}


def _scopes(root: Path, speakers: Iterable[str]) -> list[dict[str, Any]]:
    """Purposes and languages of every speaker's consent, and the sha256 of the record; nothing personal."""
    found = []
    for speaker in speakers:
        path = consent.path_of(speaker, root / layout.CONSENT)
        record = consent.load(speaker, root / layout.CONSENT)
        granted = sorted(name for name, given in records.to_json(record)["purposes"].items() if given)
        found.append(
            {"purposes": granted, "languages": list(record.languages), "sha256": digest.of_file(path)}
        )
    return found
