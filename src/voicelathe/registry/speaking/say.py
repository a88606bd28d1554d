"""`voicelathe say`: speak with a registered version, only if the journal knows how it came into production, with a base as it is, or
with a base that hears the speaker first.

MLflow drops option names it does not know with a warning and speaks with the default; here they are an error.
"""

import base64
import re
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe import checkpoints, digest, families, layout
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data.lexicon import lexicon_file
from voicelathe.errors import ConsentError, ParamsError, PromotionError, RequestError, WorkerError
from voicelathe.families import bases, decoding
from voicelathe.process import jobs
from voicelathe.process.runner import Speaker
from voicelathe.records import Candidate, SampleRecord
from voicelathe.registry import gates, promote, promoted, served, voice
from voicelathe.registry.speaking import marking, requests, sentences, signing, tag
from voicelathe.registry.speaking.desk import VoiceLimits
from voicelathe.registry.speaking.reference import carried
from voicelathe.stages.references import clips
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
    finish = _Finish.of(root, sign)
    params = gates.load_params(root)
    family, machine, words = bases.recognise(base), params.machine, lexicon_file.of_project(params, root)
    known = families.spec(family).decoding
    chosen = _chosen(text, options, "en", BASE_SECONDS)
    spoken = decoding.chosen(known, decoding.defaults(known), settings or {})
    facts = families.find(family).describe(base, "", True)
    target = jobs.Target(family, str(base), facts.digest, machine, words)
    sample, audio = _take(target, text, chosen, spoken)
    audio = finish.write(out, audio, tag.of_base(family, facts.digest, spoken) | tag.of_lexicon(words))
    return Said(
        out, f"the base {base}", sentences.rate_hz(audio), sample.duration_s, sample.stopped, sample.problem
    )


def speak_zero_shot(
    text: str,
    recipe: str,
    out: Path,
    root: Path,
    options: Mapping[str, Any],
    sign: Path | None = None,
    settings: Mapping[str, float] | None = None,
) -> Said:
    """Let the base of a recipe hear its held-out clip of the speaker and then say a text into a WAV file, in one take: the voice to speak with where no checkpoint ships.

    Clip, way and settings are those that `listen` judges. Raises ConsentError where the speaker does not allow a voice of theirs in this language,
    ParamsError where the recipe lets no base hear a clip, SplitError or RecordError where there is no split.
    """
    params = gates.load_params(root)
    found = find_recipe(params, recipe)
    before = clips.reference(params, recipe, root)
    if before is None:
        ways = families.spec(params.bases[found.base].family).zero_shot
        why = (
            f"recipes.{recipe}.evaluate.zero_shot is null. Set it to {' or '.join(ways)}"
            if ways and found.evaluate.zero_shot is None
            else f"{layout.split('validation')} has no two clips of the speaker. Record more"
            if ways
            else "its family takes over no voice from a clip. Use a recipe of another family"
        )
        raise ParamsError(f"The base of {recipe} hears no clip before it speaks: {why}.")
    clip, base = before.clips[0], params.bases[found.base]
    chosen = _chosen(text, options, clip.language, found.listen.max_seconds)
    models = gates.models_of(found.base, base.family)
    if problems := gates.consent_problems(root, {clip.speaker_id: [str(chosen["language"])]}, models):
        raise ConsentError(f"The base must not speak as {clip.speaker_id}: {'; '.join(problems)}")
    finish = _Finish.of(root, sign, [clip.speaker_id])
    spoken = decoding.chosen(families.spec(base.family).decoding, found.speak, settings or {})
    families.find(base.family).verify(root / base.path, base.digest)
    words = lexicon_file.of_project(params, root)
    target = jobs.Target(base.family, str(root / base.path), base.digest, params.machine, words)
    sample, audio = _take(target, text, chosen, spoken, before)
    heard = carried(clip, before.way, Path(before.audio_root), base.family, root / base.path)
    about = tag.of_zero_shot(root, base.family, base.digest, spoken, heard)
    audio = finish.write(out, audio, about | tag.of_lexicon(words))
    who = f"the base {found.base}, which hears {clip.clip_id} of {clip.speaker_id} ({before.way})"
    return Said(out, who, sentences.rate_hz(audio), sample.duration_s, sample.stopped, sample.problem)


@dataclass(frozen=True)
class _Finish:
    """Mark, tag and signature of a file that no version speaks."""

    mark: marking.SpokenMark | None
    signer: signing.Signer | None

    @classmethod
    def of(cls, root: Path, sign: Path | None, speakers: Sequence[str] = ()) -> "_Finish":
        """Asked before anything is spoken. Raises SigningError, and ConsentError for a mark that a speaker demands and nobody can make."""
        signer = signing.read(sign) if sign is not None else signing.of_environment()
        return cls(marking.of_project(root, marking.BASE, speakers), signer)

    def write(self, out: Path, audio: bytes, about: Mapping[str, Any]) -> bytes:
        """What was written."""
        if self.mark is not None:
            audio, about = self.mark.put(audio), {**about, "watermark": self.mark.about}
        audio = sentences.tagged(audio, digest.canonical_json(about))
        if self.signer is not None:
            audio = self.signer.signed(audio, about)
        digest.deliver(out, audio)
        return audio


def _chosen(text: str, options: Mapping[str, Any], language: str, max_seconds: float) -> dict[str, Any]:
    """Options of a base with their defaults. Raises RequestError for what makes no sense."""
    own: dict[str, Any] = {"language": language, "seed": BASE_SEED, "max_seconds": max_seconds}
    requests.check_options(options, own)
    chosen = {**own, **options}
    requests.check_seconds(float(chosen["max_seconds"]))
    requests.check_language(str(chosen["language"]))
    requests.check_seed(int(chosen["seed"]))
    requests.check([text], float(chosen["max_seconds"]), VoiceLimits())
    return chosen


def _take(
    target: jobs.Target,
    text: str,
    chosen: Mapping[str, Any],
    settings: dict[str, float],
    reference: jobs.Reference | None = None,
) -> tuple[SampleRecord, bytes]:
    """What a base says in a worker of its own. Raises WorkerError when nothing can be written."""
    weights = jobs.WeightsRef(Candidate(0, None, prompted=reference is not None), "base", "", "")
    with tempfile.TemporaryDirectory(prefix="voicelathe-") as scratch:
        path, limit = Path(scratch, "said.wav"), float(chosen["max_seconds"])
        job = jobs.SpeakJob(
            target, None, [weights], [], limit, settings, reference, scratch, interactive=True
        )
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
