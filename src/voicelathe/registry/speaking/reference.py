"""Which clip does a promoted version hear before it speaks, and how does it travel with that version?

A base that speaks zero-shot is its clip as much as its weights. So the version carries the very WAV that the base was judged behind, by
its sha256, among its own artifacts: a recording that is moved, trimmed otherwise or gone changes nothing in what it says.
"""

import io
import wave
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from voicelathe import digest, families, layout, records
from voicelathe.config import schema
from voicelathe.data.audio import waveform
from voicelathe.errors import CheckpointError, PromotionError
from voicelathe.process import jobs
from voicelathe.records import CleanClip, PromotedClip, PromptClip
from voicelathe.tracking.files import RunFiles, Shown

ARTIFACT = "reference"  # its name among the artifacts of a version, and in the configuration of a voice
FILE = f"{ARTIFACT}.wav"


@dataclass(frozen=True)
class CarriedClip:
    """A clip with the sound that a base hears of it."""

    record: PromotedClip
    clip: CleanClip
    content: bytes = field(repr=False)  # a WAV of one channel, 16 bits, at the rate of the family's encoder

    @property
    def config(self) -> dict[str, Any]:
        """What the configuration of a voice says of it."""
        return {
            **{name: value for name, value in records.to_json(self.record).items() if name != "words_sha256"},
            "text": self.clip.text,
            "language": self.clip.language,
        }


def carried(clip: CleanClip, way: str, audio_root: Path, family: str, base: Path) -> CarriedClip:
    """A clip as `worker.prompts.heard` gives it to the base. Raises ManifestError when its recording changed or cannot be read."""
    rate_hz = families.find(family).describe(base, "", True).encode_rate_hz
    content = waveform.wav_of(waveform.read_mono(audio_root, clip, rate_hz), rate_hz)
    record = PromotedClip(
        clip_id=clip.clip_id,
        way=way,
        audio_sha256=clip.audio_sha256,
        sha256=digest.of_bytes(content),
        words_sha256=_words(clip.text, clip.language),
    )
    return CarriedClip(record, clip, content)


def of_candidate(files: RunFiles, shown: Shown, params: schema.Params) -> CarriedClip | None:
    """The clip that a candidate was judged behind; None for one that hears none.

    Raises PromotionError where nobody knows that clip any more, or it is another one by now; ManifestError when it cannot be read.
    """
    if not shown.candidate.prompted:
        return None
    recipe, judged = files.run.recipe, files.selection.race.prompt
    again = f"Judge it anew: dvc repro select@{recipe}"
    if judged is None:
        raise PromotionError(
            f"runs/{recipe}/selection.json does not say which clip {shown.candidate.name} was judged behind. {again}"
        )
    clips = records.read(files.root / layout.split("validation"), CleanClip)
    found = next((one for one in clips if PromptClip.of(one, judged.way) == judged), None)
    if found is None:
        raise PromotionError(
            f"{layout.split('validation')} no longer has clip {judged.clip_id} as {shown.candidate.name} was judged behind it ({judged.way}, "
            f"{judged.start_s:g} to {judged.end_s:g} s). {again}"
        )
    base = params.bases[files.run.identity.base]
    return carried(
        found, judged.way, files.root / params.ingest.audio_root, base.family, files.root / base.path
    )


def of_config(config: Mapping[str, Any]) -> PromotedClip | None:
    """Which clip a registered voice hears; None for one that hears none. Raises CheckpointError where the configuration says half of it."""
    kept = config.get(ARTIFACT)
    if not kept:
        return None
    needed = ("clip_id", "way", "audio_sha256", "sha256", "text", "language")
    if missing := [name for name in needed if name not in kept]:
        raise CheckpointError(
            f"The configuration of this version in MLflow says which clip it hears ({ARTIFACT}: {', '.join(sorted(kept))}), and lacks "
            f"{', '.join(missing)}: somebody edited it. Promote it again: voicelathe promote {config['recipe']}"
        )
    return PromotedClip(
        kept["clip_id"],
        kept["way"],
        kept["audio_sha256"],
        kept["sha256"],
        _words(kept["text"], kept["language"]),
    )


def opened(config: Mapping[str, Any], artifacts: Mapping[str, str], scratch: Path) -> jobs.Reference | None:
    """What a loaded voice hears: a copy of its own in `scratch`, checked. Raises CheckpointError when it is not what was promoted."""
    found = of_config(config)
    if found is None:
        return None
    path = Path(artifacts.get(ARTIFACT, ""))
    content = path.read_bytes() if path.is_file() else None
    if content is None or digest.of_bytes(content) != found.sha256:
        raise CheckpointError(
            damaged(config["recipe"], None if content is None else digest.of_bytes(content), found)
        )
    digest.write_bytes(scratch / f"{found.sha256}.wav", content)
    return jobs.Reference(
        [_row(found, config[ARTIFACT], content)], str(scratch), cast("schema.Way", found.way)
    )


def damaged(recipe: str, sha256: str | None, expected: PromotedClip) -> str:
    """What is wrong with the clip that MLflow has, and what to do."""
    now = "it is gone" if sha256 is None else f"it is {sha256} now"
    return (
        f"{FILE}, the clip that this version hears before it speaks, was promoted with sha256 {expected.sha256}, but in MLflow {now}. Bring "
        f'MLflow\'s artifacts back, or put another version in its place: voicelathe rollback --because "the clip is gone"; or what its recipe '
        f"has now: voicelathe promote {recipe}"
    )


def about(record: PromotedClip | None) -> dict[str, Any]:
    """What the tag of a file says of the clip that was heard; nothing where none was."""
    if record is None:
        return {}
    return {
        "zero_shot": {
            "clip_id": record.clip_id,
            "way": record.way,
            "audio_sha256": record.audio_sha256,
            "sha256": record.sha256,
        }
    }


def _row(found: PromotedClip, kept: Mapping[str, Any], content: bytes) -> CleanClip:
    """The carried WAV as the row of a clip: all of it, with nothing to correct."""
    with wave.open(io.BytesIO(content)) as file:
        duration_s = file.getnframes() / file.getframerate()
    return CleanClip(
        clip_id=found.clip_id,
        audio=f"{found.sha256}.wav",
        start_s=0.0,
        end_s=duration_s,
        text=kept["text"],
        recording_id=found.clip_id,
        speaker_id="",  # no worker asks who is heard
        language=kept["language"],
        audio_sha256=found.sha256,
        samples_sha256="",
        duration_s=duration_s,
        ref_audio=None,
    )


def _words(text: str, language: str) -> str:
    return digest.of_value([text, language])
