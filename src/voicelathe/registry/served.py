"""What MLflow keeps of a promoted version: its configuration, its columns and options, and why it must not speak now."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicelathe import checkpoints, digest, families, lines, records
from voicelathe.errors import CheckpointError, VoiceLatheError
from voicelathe.records import Promotion
from voicelathe.registry import based, gates, promoted
from voicelathe.registry.speaking import hearing, pace, reference
from voicelathe.tracking.registered import Interface

CODE = Path(__file__).with_name("serving_model.py")
OUTPUTS = {
    "text": "string",
    "wav_base64": "string",
    "sample_rate_hz": "long",
    "duration_s": "double",
    "stopped": "boolean",  # False: cut at max_seconds, the model did not stop by itself
    "problem": "string",  # empty when nothing is wrong; too_fast, missed_words: words may be missing
}


def configuration(case: gates.Case) -> dict[str, Any]:
    """Everything the served model has to know; plain values, because MLflow keeps them in its MLmodel file."""
    run, shown = case.files.run, case.shown
    listen = case.params.recipes[run.recipe].listen
    return {
        "root": str(case.files.root.resolve()),
        "recipe": run.recipe,
        "run_digest": run.run_digest,
        "step": shown.candidate.step,
        "lora_scale": shown.candidate.lora_scale,
        "kind": shown.checkpoint.kind,
        "path": shown.checkpoint.path,
        "sha256": shown.checkpoint.sha256,
        "lora": records.to_json(run.identity.train.lora) if run.identity.train.lora else None,
        "family": run.identity.family,
        "base": case.base.path,
        "base_digest": run.identity.base_digest,
        "device": run.identity.device,
        "threads": run.identity.threads,
        "speakers": case.speakers,
        "language": lines.commonest_language(lines.read(case.files.root / listen.lines)),
        "seed": listen.seeds[0],
        "max_seconds": listen.max_seconds,
        "decoding": case.files.selection.decoding,
        "pace": records.to_json(pace.of_recipe(case.files, shown)),
        "words": records.to_json(hearing.of_case(case)),
        "attempts": 3
        if case.base.trained
        else 1,  # random weights never end a sentence, however often they try
        **({"lexicon": records.to_json(run.identity.lexicon)} if run.identity.lexicon else {}),
        **({reference.ARTIFACT: case.heard.config} if case.heard else {}),
    }


def identity(config: Mapping[str, Any]) -> str:
    return digest.of_value(config)


def interface(config: Mapping[str, Any]) -> Interface:
    """Column and options of a voice. A checkpoint without an adapter has no LoRA scale to choose."""
    scale = {"lora_scale": ("double", config["lora_scale"])} if config["kind"] == "lora" else {}
    rest = {
        "seed": ("long", config["seed"]),
        "max_seconds": ("double", config["max_seconds"]),
        "language": ("string", config["language"]),
        "attempts": ("long", config["attempts"]),
        **_decoding_options(config),
        "version": ("string", ""),  # another promoted version of the same base and kind; empty: this one
    }
    return Interface({"text": "string"}, OUTPUTS, {**scale, **rest})


def decoding_of(config: Mapping[str, Any]) -> dict[str, float]:
    """What a version was judged with."""
    return promoted.decoding_of(config["family"], config.get("decoding"))


def lexicon_of(config: Mapping[str, Any]) -> records.Lexicon | None:
    """By which respellings a version was trained and judged, whatever the project's lexicon says now."""
    found = config.get("lexicon")
    return records.from_json(records.Lexicon, found, "lexicon of the version") if found else None


def _decoding_options(config: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    known = families.spec(config["family"]).decoding
    return {
        name: ("long", int(value)) if known[name].whole else ("double", value)
        for name, value in decoding_of(config).items()
    }


def problems(root: Path, promotion: Promotion, in_production: bool = True) -> list[str]:
    """Why a promoted version must not speak now: weights, base, the clip it hears, or consent. One that is to come back is not `in_production`."""
    found = []
    try:
        verify_weights(root, promotion.kind, promotion.path, promotion.checkpoint_sha256, in_production)
        base = based.find(gates.load_params(root), promotion.base, promotion.base_digest, root)
        families.find(base.family).verify(root / base.path, promotion.base_digest)
    except VoiceLatheError as problem:
        found.append(str(problem))
    return found + promoted.clip_problems(root, promotion) + promoted.consent_problems(root, promotion)


def verify_weights(root: Path, kind: str, path: str, sha256: str, in_production: bool = True) -> None:
    """Raises CheckpointError unless every byte of a promoted checkpoint is as it was; a base is verified by its family."""
    if kind == "base":
        return
    try:
        checkpoints.verify(root / path, sha256)
    except CheckpointError as problem:
        raise CheckpointError(f"{problem}. {_instead(path)}" if in_production else str(problem)) from None


def _instead(path: str) -> str:
    """The next step where promoted weights cannot be had back: their settings may no longer be those of the recipe."""
    return (
        "If that does not bring back what was promoted, put the version before in its place: "
        'voicelathe rollback --because "the weights are gone"; or what its recipe has now: '
        f"voicelathe promote {Path(path).parts[1]}"
    )
