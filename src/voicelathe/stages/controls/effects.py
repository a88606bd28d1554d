"""What do opposite controls make of a candidate's speech? The same line and seed under both; seconds, level and pitch are compared."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from voicelathe import layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data import control
from voicelathe.data.audio import waveform
from voicelathe.data.text import languages
from voicelathe.evaluate.scoring.controls import MIN_LINES, PAIRS
from voicelathe.process import jobs
from voicelathe.speech import RATE_HZ, manner
from voicelathe.speech.manner import Manner
from voicelathe.stages.speak import speak
from voicelathe.train import probe

SHORTEST_S, LONGEST_S = (
    1.0,
    8.0,
)  # of clips whose text is spoken: a word shows no pace, and long lines cost time
TIMES, MOST_S = 4.0, 30.0  # a line may take so many times the seconds of its clip
Effects = dict[str, dict[str, float]]  # kind -> clip -> effect


def _pace(one: Manner, other: Manner) -> float:
    return math.log(one.seconds / other.seconds)


def _level(one: Manner, other: Manner) -> float:
    return one.level_dbfs - other.level_dbfs


def _pitch(one: Manner, other: Manner) -> float | None:
    if one.pitch_hz is None or other.pitch_hz is None:
        return None
    return 12.0 * math.log2(one.pitch_hz / other.pitch_hz)


COMPARE: Mapping[str, Callable[[Manner, Manner], float | None]] = {
    "pace": _pace,
    "level": _level,
    "pitch": _pitch,
}


def of(params: schema.Params, run: records.RunRecord, refs: Sequence[jobs.WeightsRef]) -> dict[str, Effects]:
    """Candidate -> effects. A pair of samples of which one failed has none. Samples are kept beside the weights and not made again."""
    one = find_recipe(params, run.recipe)
    clips, asked = chosen(params.seed, one.evaluate.control_lines), one.evaluate.control_lines
    if len(clips) < asked:
        print(
            f"{run.recipe}: evaluate.control_lines = {asked}, and the validation split has {len(clips)} different sentences of {SHORTEST_S:g} to "
            f"{LONGEST_S:g} s. Fewer than {MIN_LINES} judge nothing: hold out more recordings, or set control_lines to 0.",
            file=sys.stderr,
        )
    lines = [
        records.Line(f"{kind}-{word}-{clip.clip_id}", clip.text, clip.language, params.seed, word)
        for clip in clips
        for kind, words in PAIRS.items()
        for word in words
    ]
    longest = min(MOST_S, TIMES * max((clip.duration_s for clip in clips), default=LONGEST_S))
    out = Path(run.directory) / "controls"
    samples = speak(params, run, list(refs), lines, longest, one.speak, out)
    held = {(sample.candidate, sample.line_id): heard(sample) for sample in samples}
    return {
        ref.candidate.name: {kind: _effects(held, ref.candidate.name, kind, clips) for kind in PAIRS}
        for ref in refs
    }


def chosen(seed: int, number: int) -> list[records.CleanClip]:
    """Validation clips whose texts are spoken: never trained on, the same for every candidate and recipe, and no two of them say the same.

    Where a corpus has each sentence in several manners, a sentence would else count as often, and show a certainty that is none.
    """
    clips = records.read(layout.split("validation"), records.CleanClip)
    usable = [
        clip
        for clip in sorted(clips, key=lambda clip: clip.clip_id)
        if SHORTEST_S <= clip.duration_s <= LONGEST_S and not control.begins_with_one(clip.text)
    ]
    said = {languages.sentence(clip.text, clip.language): clip for clip in usable}
    known = {clip.clip_id: clip for clip in said.values()}
    return [known[name] for name in probe.clips(list(known), seed, number)]


def heard(sample: records.SampleRecord) -> Manner | None:
    """How a sample was spoken; None for one that failed."""
    if sample.problem is not None or sample.path is None:
        return None
    path = Path(sample.path)
    samples, rate_hz = waveform.read_clip(path.parent, path.name, None, None, sample.sha256)
    return manner.of(waveform.resample(waveform.mono(samples), rate_hz, RATE_HZ))


def _effects(
    held: Mapping[tuple[str, str], Manner | None], name: str, kind: str, clips: Sequence[records.CleanClip]
) -> dict[str, float]:
    found = {}
    for clip in clips:
        one, other = (held[name, f"{kind}-{word}-{clip.clip_id}"] for word in PAIRS[kind])
        effect = None if one is None or other is None else COMPARE[kind](one, other)
        if effect is not None:
            found[clip.clip_id] = round(effect, 6)
    return found
