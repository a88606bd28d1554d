"""The voice that a registered version is: where its weights lie, what they must hash to, and a worker that speaks with them.

MLflow holds a few kB of code and configuration; the weights stay where training left them. Loading verifies every byte of the
weights and of the base and the speakers' consent, then starts one worker that answers all requests.
"""

import base64
import io
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicelathe import checkpoints, digest, families, jobs, records, settings
from voicelathe.errors import CheckpointError, ConsentError, RequestError, VoiceLatheError
from voicelathe.records import Candidate, Promotion
from voicelathe.registry import gates
from voicelathe.runner import Speaker
from voicelathe.tracking.registered import Interface

CODE = Path(__file__).with_name("serving_model.py")
ROOT = "VOICELATHE_ROOT"  # where the project is now, when it is not where the version was promoted
OUTPUTS = {
    "text": "string",
    "wav_base64": "string",
    "sample_rate_hz": "long",
    "duration_s": "double",
    "stopped": "boolean",  # False: cut at max_seconds, the model did not stop by itself
    "problem": "string",  # empty when nothing is wrong
}
MAX_LORA_SCALE = 2.0
MAX_SECONDS = 60.0


def configuration(case: gates.Case) -> dict[str, Any]:
    """Everything the served model has to know; plain values, because MLflow keeps them in its MLmodel file."""
    run, shown = case.files.run, case.shown
    listen = case.params.recipes[run.recipe].listen
    return {
        "root": str(case.files.root.resolve()),
        "recipe": run.recipe,
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
        "language": listen.lines[0].language,
        "seed": listen.seeds[0],
        "max_seconds": listen.max_seconds,
    }


def identity(config: Mapping[str, Any]) -> str:
    return digest.of_value(config)


def interface(config: Mapping[str, Any]) -> Interface:
    """Column and options of a voice. A checkpoint without an adapter has no strength to choose."""
    strength = {"lora_scale": ("double", config["lora_scale"])} if config["kind"] == "lora" else {}
    rest = {
        "seed": ("long", config["seed"]),
        "max_seconds": ("double", config["max_seconds"]),
        "language": ("string", config["language"]),
    }
    return Interface({"text": "string"}, OUTPUTS, {**strength, **rest})


def problems(root: Path, promotion: Promotion) -> list[str]:
    """Why a promoted version must not speak now: weights, base or consent."""
    found = []
    try:
        _verify(root, promotion.kind, promotion.path, promotion.checkpoint_sha256)
        families.find(_family(root, promotion)).verify(root / promotion.base_path, promotion.base_digest)
    except VoiceLatheError as problem:
        found.append(str(problem))
    return found + gates.consent_problems(root, promotion.speakers)


@dataclass
class Voice:
    """A loaded voice. Close it, or let the process end: the worker follows."""

    config: Mapping[str, Any]
    speaker: Speaker
    scratch: Any = field(repr=False)

    @classmethod
    def open(cls, config: Mapping[str, Any]) -> "Voice":
        """Verify, then start the worker. Raises CheckpointError, BaseModelError or ConsentError instead of speaking wrongly."""
        root = Path(os.environ.get(ROOT) or config["root"])
        if not root.is_dir():
            raise CheckpointError(
                f"{root} is gone: this version refers to weights in it. Set {ROOT} to where the project is now, "
                "or promote there again."
            )
        _verify(root, config["kind"], config["path"], config["sha256"])
        families.find(config["family"]).verify(root / config["base"], config["base_digest"])
        if refusals := gates.consent_problems(root, config["speakers"]):
            raise ConsentError(f"This voice must not speak: {'; '.join(refusals)}")
        scratch = tempfile.TemporaryDirectory(prefix="voicelathe-")
        return cls(config, Speaker(_job(root, config, Path(scratch.name))), scratch)

    def say(self, text: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """One row of `OUTPUTS`. Raises RequestError for an option that does not exist or fit."""
        request = self._request(text, options)
        try:
            sample = self.speaker.say(request)
            audio = Path(request.path).read_bytes()
        finally:
            Path(request.path).unlink(missing_ok=True)
        return {
            "text": text,
            "wav_base64": base64.b64encode(audio).decode(),
            "sample_rate_hz": _rate_hz(audio),
            "duration_s": sample.duration_s,
            "stopped": sample.stopped,
            "problem": sample.problem or "",
        }

    def close(self) -> None:
        self.speaker.close()
        self.scratch.cleanup()

    def _request(self, text: str, options: Mapping[str, Any]) -> jobs.SpeakRequest:
        known = interface(self.config).options
        check_options(options, known)
        chosen = {name: options.get(name, default) for name, (_type, default) in known.items()}
        if not text.strip():
            raise RequestError("text is empty: there is nothing to say.")
        if not 0 < chosen["max_seconds"] <= MAX_SECONDS:
            raise RequestError(
                f"max_seconds = {chosen['max_seconds']}: must be over 0 and at most {MAX_SECONDS:g}."
            )
        scale = chosen.get("lora_scale")
        if scale is not None and not 0 <= scale <= MAX_LORA_SCALE:
            raise RequestError(f"lora_scale = {scale}: must be from 0 (the base) to {MAX_LORA_SCALE:g}.")
        path = Path(self.scratch.name) / "said.wav"
        return jobs.SpeakRequest(
            text, chosen["language"], int(chosen["seed"]), scale, float(chosen["max_seconds"]), str(path)
        )


def check_options(options: Iterable[str], known: Iterable[str]) -> None:
    """Raises RequestError for unknown names. MLflow itself drops them with a warning and speaks with the default."""
    if unknown := sorted(set(options) - set(known)):
        raise RequestError(
            f"No such option: {', '.join(unknown)}. This voice takes: {', '.join(sorted(known))}."
        )


def _verify(root: Path, kind: str, path: str, sha256: str) -> None:
    if kind != "base":
        checkpoints.verify(root / path, sha256)


def _family(root: Path, promotion: Promotion) -> str:
    return gates.load_params(root).bases[promotion.base].family


def _job(root: Path, config: Mapping[str, Any], out: Path) -> jobs.SpeakJob:
    machine = settings.Machine(config["device"], config["threads"])
    target = jobs.Target(config["family"], str(root / config["base"]), config["base_digest"], machine)
    lora = settings.Lora(**config["lora"]) if config["lora"] else None
    candidate = Candidate(config["step"], config["lora_scale"])
    weights = jobs.WeightsRef(candidate, config["kind"], str(root / config["path"]), config["sha256"])
    return jobs.SpeakJob(target, lora, [weights], [], config["max_seconds"], str(out), interactive=True)


def _rate_hz(audio: bytes) -> int:
    import wave

    with wave.open(io.BytesIO(audio)) as file:
        return int(file.getframerate())
