"""`voicelathe say`: speak with a registered version, only if the journal knows how it came into production, or with a base as it is.

MLflow drops option names it does not know with a warning and speaks with the default; here they are an error.
"""

import base64
import re
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe import checkpoints, digest, families
from voicelathe.data.lexicon import lexicon_file
from voicelathe.errors import PromotionError, RequestError, WorkerError
from voicelathe.families import bases, decoding
from voicelathe.process import jobs
from voicelathe.process.runner import Speaker
from voicelathe.records import Candidate, SampleRecord
from voicelathe.registry import gates, promote, promoted, served, voice
from voicelathe.registry.speaking import marking, requests, sentences, signing, tag
from voicelathe.registry.speaking.desk import VoiceLimits
from voicelathe.tracking import registered, store
from voicelathe.tracking.registered import PRODUCTION

PROVENANCE = "provenance.json"  # of an export
BASE_SEED, BASE_SECONDS = 42, 12.0  # where nothing else is asked for
URI = re.compile(r"^models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))$")


@dataclass(frozen=True)
class Said:
    """What was written."""

    path: Path
    who: str  # the version or the base that spoke
    sample_rate_hz: int
    duration_s: float
    stopped: bool
    problem: str | None


def speak_production(
    text: str,
    out: Path,
    root: Path,
    options: Mapping[str, Any],
    uri: str | None = None,
    sign: Path | None = None,
    settings: Mapping[str, float] | None = None,
) -> Said:
    """Let the version in production (or `uri`: models:/NAME@production, models:/NAME/VERSION) say a text into a WAV file.

    `sign`: the folder whose key signs the file; `settings`: of decoding, instead of the judged ones. Raises RequestError for unknown options, PromotionError for an alias that was moved without
    the journal, SigningError.
    """
    if sign is not None:
        signing.read(sign)
    chosen = gates.load_params(root)
    name = registered.name_of(chosen.tracking)
    uri = uri or f"models:/{name}@{PRODUCTION}"
    version = resolve(uri, root)
    address = store.address(root)
    store.settle(chosen.tracking, root)
    with store.usable(address), voice.of_project(root, sign):
        config = registered.registration(address, f"models:/{name}/{version}").config
        requests.check_options(options, served.interface(config).options)
        decoding.check(families.spec(config["family"]).decoding, settings or {})
        model = registered.load(address, f"models:/{name}/{version}")
    speaking: voice.Voice = model.unwrap_python_model().voice
    try:
        row = speaking.say(text, {**options, **(settings or {})})
    finally:
        speaking.close()
    digest.deliver(out, base64.b64decode(row["wav_base64"]))
    who = f"version {version}"
    return Said(out, who, row["sample_rate_hz"], row["duration_s"], row["stopped"], row["problem"] or None)


def speak_base(
    text: str,
    base: Path,
    out: Path,
    root: Path,
    options: Mapping[str, Any],
    sign: Path | None = None,
    settings: Mapping[str, float] | None = None,
) -> Said:
    """Let a base directory say a text into a WAV file, in one take, on the machine that params.yaml names.

    It is tagged, marked and signed as a voice is. `settings`: of decoding, instead of upstream's own.

    Raises RequestError for options that only a fine-tuned voice has and for a checkpoint, BaseModelError for a directory that no family knows.
    """
    if any((base / name).exists() for name in (checkpoints.MANIFEST, PROVENANCE)):
        raise RequestError(
            f"{base} is a fine-tuned voice and no base: its speaker's consent is asked only of what was promoted. Promote it (voicelathe promote "
            "RECIPE), then: voicelathe say TEXT, or --uri models:/NAME/VERSION"
        )
    signer = signing.read(sign) if sign is not None else signing.of_environment()
    mark = marking.of_project(root, marking.BASE)
    settings_of = gates.load_params(root)
    family, machine, words = (
        bases.recognise(base),
        settings_of.machine,
        lexicon_file.of_project(settings_of, root),
    )
    known = families.spec(family).decoding
    chosen: dict[str, Any] = {"language": "en", "seed": BASE_SEED, "max_seconds": BASE_SECONDS}
    requests.check_options(options, chosen)
    spoken = decoding.chosen(known, decoding.defaults(known), settings or {})
    chosen |= options
    requests.check_seconds(float(chosen["max_seconds"]))
    requests.check_language(str(chosen["language"]))
    requests.check_seed(int(chosen["seed"]))
    requests.check([text], float(chosen["max_seconds"]), VoiceLimits())
    facts = families.find(family).describe(base, "", True)
    target = jobs.Target(family, str(base), facts.digest, machine, words)
    sample, audio = _take(target, text, chosen, spoken)
    if mark is not None:
        audio = mark.put(audio)
    about = tag.of_base(family, facts.digest, spoken) | tag.of_lexicon(words)
    about |= {"watermark": mark.about} if mark else {}
    audio = sentences.tagged(audio, digest.canonical_json(about))
    if signer is not None:
        audio = signer.signed(audio, about)
    digest.deliver(out, audio)
    return Said(
        out, f"the base {base}", sentences.rate_hz(audio), sample.duration_s, sample.stopped, sample.problem
    )


def _take(
    target: jobs.Target, text: str, chosen: Mapping[str, Any], settings: dict[str, float]
) -> tuple[SampleRecord, bytes]:
    """What a base says in a worker of its own. Raises WorkerError when nothing can be written."""
    weights = jobs.WeightsRef(Candidate(0, None), "base", "", "")
    with tempfile.TemporaryDirectory(prefix="voicelathe-") as scratch:
        path, limit = Path(scratch, "said.wav"), float(chosen["max_seconds"])
        job = jobs.SpeakJob(target, None, [weights], [], limit, settings, None, scratch, interactive=True)
        asked = jobs.SpeakRequest(
            request_id=uuid.uuid4().hex,
            text=text,
            language=chosen["language"],
            seed=int(chosen["seed"]),
            lora_scale=None,
            max_seconds=limit,
            decoding=None,
            path=str(path),
            weights=None,
            lexicon=target.lexicon,
        )
        with Speaker(job) as speaker:
            sample = speaker.say(asked)
        if sample.path is None:
            raise WorkerError(
                f"{target.base} said nothing that can be written: {sample.problem}. Try another --seed."
            )
        return sample, path.read_bytes()


def resolve(uri: str, root: Path) -> str:
    """The version a URI means. Raises PromotionError when the journal never let it into production."""
    match = URI.match(uri)
    standing = promoted.status(root)
    if match is None or match["name"] != standing.name or match["alias"] not in (None, PRODUCTION):
        raise RequestError(
            f"{uri}: give models:/{standing.name}@{PRODUCTION} or models:/{standing.name}/VERSION, "
            "where VERSION was in production (voicelathe history)."
        )
    if match["version"] is not None:
        known = {
            entry.promotion.version
            for entry in promote.history(root)
            if entry.promotion.name == standing.name
        }
        if match["version"] not in known:
            raise PromotionError(
                f"{uri} was never promoted; the journal knows versions {', '.join(sorted(known)) or 'none'}."
            )
        return match["version"]
    if standing.state in promoted.REFUSED or standing.alias is None:
        raise PromotionError(
            standing.problem or "Nothing is in production yet. Promote: voicelathe promote RECIPE"
        )
    return standing.alias
