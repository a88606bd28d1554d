"""Which promoted version can a loaded voice speak as without loading its base anew, and with which weights?

One of the same base and kind, an adapter of the same shape. A base that hears a clip before it speaks is loaded for itself: its clip comes
with it out of MLflow.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicelathe import records
from voicelathe.errors import RecordError, RequestError
from voicelathe.process import jobs
from voicelathe.records import Candidate, Promotion
from voicelathe.registry import promoted
from voicelathe.runs import identity as runs_identity


def weights(root: Path, config: Mapping[str, Any], wanted: Promotion) -> jobs.WeightsRef | None:
    """The weights of a promoted version; None for those that are loaded. Raises RequestError for what only another worker can load.

    Whatever else is loaded, the worker hashes before it is put in place.
    """
    if _is(config, wanted):
        return None
    if (wanted.base_digest, wanted.kind) != (config["base_digest"], config["kind"]):
        raise RequestError(
            f"version = {wanted.version!r}: it is {wanted.kind} on base {wanted.base}; without loading anew only versions of this "
            "voice's kind and base can speak. Serve that version itself."
        )
    if wanted.reference is not None:
        raise RequestError(
            f"version = {wanted.version!r}: it hears a clip of its own before it speaks, which this voice does not have. Serve that version itself."
        )
    if wanted.kind == "lora" and _shape(_lora_of(root, wanted)) != _shape(config["lora"]):
        raise RequestError(
            f"version = {wanted.version!r}: its adapter has another rank, alpha or scope than this voice's. Serve that version itself."
        )
    path = str(root / wanted.path)
    return jobs.WeightsRef(Candidate.named(wanted.candidate), wanted.kind, path, wanted.checkpoint_sha256)


def can_be(root: Path, config: Mapping[str, Any], promotion: Promotion) -> bool:
    """Whether a voice of this configuration speaks as that version with the base it has loaded."""
    if (promotion.base_digest, promotion.kind) != (config["base_digest"], config["kind"]):
        return False
    if _is(config, promotion):
        return True
    if promotion.reference is not None:
        return False
    if promotion.kind != "lora":
        return True
    try:
        return _shape(_lora_of(root, promotion)) == _shape(config["lora"])
    except (
        RecordError
    ):  # where only the weights were brought back, nobody knows: to load it anew is always right
        return False


def _is(config: Mapping[str, Any], promotion: Promotion) -> bool:
    return promoted.promotion_of([promotion], config) is not None


def _lora_of(root: Path, other: Promotion) -> dict[str, Any]:
    run = records.read_one(root / Path(other.path).parent / runs_identity.IDENTITY, records.RunIdentity)
    assert run.train.lora is not None, "params refuse an adapter without its settings"
    return records.to_json(run.train.lora)


def _shape(lora: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal for one adapter to take the place of another."""
    return {name: lora[name] for name in ("rank", "alpha", "scope")}
