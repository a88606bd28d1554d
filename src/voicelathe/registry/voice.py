"""The voice that a registered version is: where its weights lie, what they must hash to, and a worker that speaks with them.

MLflow holds a few kB of code and configuration; the weights stay where training left them. Loading verifies every byte of the
weights and of the base and the speakers' consent, then starts one worker that answers all requests.
"""

import base64
import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicelathe import digest, families, records
from voicelathe.config import schema
from voicelathe.errors import CheckpointError, WorkerError
from voicelathe.families import decoding
from voicelathe.process import jobs
from voicelathe.process.runner import Speaker
from voicelathe.records import Candidate, Promotion
from voicelathe.registry import based, gates, served
from voicelathe.registry.authority import Authority
from voicelathe.registry.served import interface, verify_weights
from voicelathe.registry.speaking import (
    hearing,
    marking,
    pace,
    reference,
    requests,
    sentences,
    signing,
    tag,
    takes,
)
from voicelathe.registry.speaking.desk import Desk, Turn, VoiceLimits
from voicelathe.registry.weights import swapping
from voicelathe.tracking.answers import Strict as Strict  # versions registered earlier import it from here

ROOT = "VOICELATHE_ROOT"  # where the project is now, when it is not where the version was promoted


@contextlib.contextmanager
def of_project(root: Path, sign: Path | None = None) -> Iterator[None]:
    """While a version is loaded inside: weights, base and consent of this project, whatever folder the version was promoted in.

    `sign`: the folder whose key signs what the voice says.
    """
    wanted = {ROOT: str(root.resolve()), **({signing.SIGN: str(sign)} if sign is not None else {})}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(frozen=True)
class Asked:
    """A request that was understood."""

    chosen: dict[str, Any]  # every option
    weights: jobs.WeightsRef | None  # of another version; None: the voice's own
    about: Mapping[str, Any]  # the tag of its files
    checks: takes.TakeChecks  # of the version that speaks, in the language that is asked for
    decoding: dict[str, float]
    mark: marking.SpokenMark | None  # that every piece carries
    lexicon: records.Lexicon | None  # of the version that speaks


@dataclass
class Voice:
    """A loaded voice. Close it, or let the process end: the worker follows."""

    config: Mapping[str, Any]
    root: Path
    desk: Desk
    scratch: Any = field(repr=False)
    authority: Authority
    signer: signing.Signer | None = None  # of every WAV that is given out whole

    @classmethod
    def open(
        cls,
        config: Mapping[str, Any],
        limits: VoiceLimits | None = None,
        artifacts: Mapping[str, str] | None = None,
    ) -> "Voice":
        """Verify, then start the worker. `artifacts`: files that came with the version, by name.

        Raises CheckpointError, BaseModelError, ConsentError or PromotionError instead of speaking wrongly."""
        signer = signing.of_environment()
        root = Path(os.environ.get(ROOT) or config["root"])
        if not root.is_dir():
            raise CheckpointError(
                f"{root} is gone: this version refers to weights in it. Set {ROOT} to where the project is now, "
                "or promote there again."
            )
        verify_weights(root, config["kind"], config["path"], config["sha256"])
        authority = Authority(root)
        promotion = authority.promotion_of(config)
        config = {
            **config,
            "base": based.find(gates.load_params(root), promotion.base, promotion.base_digest, root).path,
        }
        families.find(config["family"]).verify(root / config["base"], config["base_digest"])
        authority.require(promotion)
        hearing.of_project(root, promotion.version, config, config["language"])
        scratch = tempfile.TemporaryDirectory(prefix="voicelathe-")
        heard = reference.opened(config, artifacts or {}, Path(scratch.name))
        job = _job(root, config, Path(scratch.name), heard)
        desk = Desk(lambda: Speaker(job), limits or VoiceLimits())
        opened = cls(config, root, desk, scratch, authority, signer)
        try:
            desk.wake()
        except BaseException:
            opened.close()
            raise
        return opened

    def say(self, text: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """One row of `OUTPUTS`; see `say_all`."""
        return self.say_all([text], options)[0]

    def say_all(self, texts: Sequence[str], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A row of `OUTPUTS` for each text.

        MLflow fills in the defaults of the version it loaded; where another version is asked for, those count as not given.
        Raises RequestError for an option that does not exist or fit, TooLong, Busy or Abandoned, WorkerError when nothing can be heard.
        """
        if options.get("version"):
            filled = interface(self.config).options
            options = {
                name: value
                for name, value in options.items()
                if name == "version" or name not in filled or value != filled[name][1]
            }
        asked = self.understood(texts, options)
        self.require_signature()
        with self.desk.admitted() as turn:
            return [
                self._row(
                    text,
                    list(self.takes(turn, asked, sentences.pieces(text, asked.checks.pace.piece_chars))),
                    asked,
                )
                for text in texts
            ]

    def understood(self, texts: Sequence[str], options: Mapping[str, Any]) -> "Asked":
        """A request that was checked against everything that can be known before anything is spoken.

        What is not given is as it was registered with the version that is asked for.
        """
        own = {name: default for name, (_type, default) in interface(self.config).options.items()}
        known = families.spec(self.config["family"]).decoding
        requests.check_options(options, own)
        version = str(options.get("version", ""))
        promotion = self.authority.find(version) if version else None
        registration = self.authority.registration(promotion) if promotion else None
        chosen = requests.checked({**own, **(registration.options if registration else {}), **options})
        requests.check(texts, float(chosen["max_seconds"]), self.desk.limits)
        promotion = promotion or self.authority.promotion_of(self.config)
        weights = swapping.weights(self.root, self.config, promotion)
        self.authority.require(promotion)
        self.authority.require_language(promotion, str(chosen["language"]))
        config = registration.config if registration else self.config
        judged = served.decoding_of(config)
        spoken = decoding.chosen(
            known, judged, {name: float(options[name]) for name in known if name in options}
        )
        mark = marking.of_project(self.root, int(promotion.version), promotion.speakers)
        about = {
            **tag.of_version(self.root, promotion),
            "decoding": spoken,
            "as_judged": spoken == judged and chosen.get("lora_scale") == config["lora_scale"],
            **({"watermark": mark.about} if mark else {}),
            **tag.of_lexicon(served.lexicon_of(config)),
        }
        checks = takes.TakeChecks(
            pace.of_config(config).spoken_in(str(chosen["language"])),
            hearing.of_project(self.root, promotion.version, config, str(chosen["language"])),
        )
        return Asked(chosen, weights, about, checks, spoken, mark, served.lexicon_of(config))

    def takes(
        self, turn: Turn, asked: "Asked", pieces: Sequence[str]
    ) -> Iterator[tuple[records.SampleRecord, bytes]]:
        """The pieces of a text, each as soon as it is there and marked."""
        for piece in pieces:
            sample, content = takes.take(
                piece,
                int(asked.chosen["seed"]),
                int(asked.chosen["attempts"]),
                lambda words, seed: self._take(turn, words, seed, asked),
                asked.checks,
            )
            yield sample, asked.mark.put(content) if asked.mark else content

    def require_signature(self) -> None:
        """Raises SigningError when a WAV could not be signed now that has to be: asked before anything is spoken."""
        if self.signer is not None:
            self.signer.require()

    def sealed(self, content: bytes, about: Mapping[str, Any]) -> bytes:
        """A whole WAV, signed where this voice signs."""
        return self.signer.signed(content, about) if self.signer is not None else content

    def _row(
        self, text: str, takes: Sequence[tuple[records.SampleRecord, bytes]], asked: "Asked"
    ) -> dict[str, Any]:
        joined = sentences.join([content for _sample, content in takes], digest.canonical_json(asked.about))
        audio = self.sealed(joined, asked.about)
        faults = [sample.problem for sample, _content in takes if sample.problem]
        return {
            "text": text,
            "wav_base64": base64.b64encode(audio).decode(),
            "sample_rate_hz": sentences.rate_hz(audio),
            "duration_s": round(sentences.duration_s(audio), 4),
            "stopped": all(sample.stopped for sample, _content in takes),
            "problem": faults[0] if faults else "",
        }

    def close(self) -> None:
        self.desk.close()
        self.scratch.cleanup()

    def _take(self, turn: Turn, words: str, seed: int, asked: "Asked") -> tuple[records.SampleRecord, bytes]:
        """One take in a file of its own. Raises WorkerError when the record or the file is not of this request."""
        request_id = uuid.uuid4().hex
        path = Path(self.scratch.name) / f"{request_id}.wav"
        chosen = asked.chosen
        scale, limit_s = chosen.get("lora_scale"), float(chosen["max_seconds"])
        request = jobs.SpeakRequest(
            request_id,
            words,
            chosen["language"],
            seed,
            scale,
            limit_s,
            asked.decoding,
            str(path),
            asked.weights,
            asked.lexicon,
        )
        try:
            sample = self.desk.take(turn, request)
            content = path.read_bytes()
        finally:
            path.unlink(missing_ok=True)
        if (sample.text, sample.seed, sample.sha256) != (words, seed, digest.of_bytes(content)):
            raise WorkerError(
                f"What was spoken is not what was asked ({words[:60]!r}, seed {seed}); it is not given out. This is a bug of voicelathe."
            )
        return sample, content

    def can_be(self, promotion: Promotion) -> bool:
        """Whether this voice speaks as that version with the base it has loaded."""
        return swapping.can_be(self.root, self.config, promotion)


def _job(root: Path, config: Mapping[str, Any], out: Path, heard: jobs.Reference | None) -> jobs.SpeakJob:
    machine = schema.Machine(config["device"], config["threads"], 1)
    target = jobs.Target(config["family"], str(root / config["base"]), config["base_digest"], machine)
    lora = schema.Lora(**config["lora"]) if config["lora"] else None
    candidate = Candidate(config["step"], config["lora_scale"], heard is not None)
    weights = jobs.WeightsRef(candidate, config["kind"], str(root / config["path"]), config["sha256"])
    limit_s, settings = config["max_seconds"], served.decoding_of(config)
    return jobs.SpeakJob(target, lora, [weights], [], limit_s, settings, heard, str(out), interactive=True)
