"""Does a take say the words of its text? With `serving.hear_words` the project's recogniser hears it before it is given out.

How many words are usually missed is known from the lines that a version was judged by: it is written into the version at promotion.
The setting is read for every request. A recogniser that is missing or another one than is pinned is an error, never silence.
"""

import functools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from voicelathe import digest, layout, lines, records
from voicelathe.config import schema
from voicelathe.data.audio import waveform
from voicelathe.errors import RecogniserError, VoiceLatheError
from voicelathe.records import LONG, RecogniserRef, SpeechMeasures
from voicelathe.registry import gates
from voicelathe.registry.speaking import sentences
from voicelathe.speech import RATE_HZ, recogniser, recogniser_files, transcripts

MISSED_WORDS = "missed_words"
LEAST_CHARS = 24  # shorter texts are not judged, by words or by pace
LEAST_MOST = 1.0  # one word misheard in a stretch is nothing, however well a voice is usually heard
PERCENTILE = 90  # of the judged lines
MARK_CHARS = 12
OFF = "To speak without being heard, set serving.hear_words to false."
_one_at_a_time = threading.Lock()  # the model that finds speech keeps a state, and hearing takes one core
_loading = threading.Lock()  # so that two first requests load one model


@dataclass(frozen=True)
class UsualMisses:
    """What was heard of the lines that a version was judged by. `most` is None where nobody heard them, as in versions registered earlier."""

    most: float | None = None  # words missed in the worst stretch of eight (transcripts.missed)
    recogniser: str = ""  # digest of who heard
    languages: tuple[str, ...] = ()  # of the judged lines
    judged: tuple[str, ...] = ()  # marks of their texts and seeds


def of_config(config: Mapping[str, Any]) -> UsualMisses:
    """What is usual for a registered version."""
    kept = dict(config.get("words") or {})
    return UsualMisses(**{**kept, **{name: tuple(kept.get(name, ())) for name in ("languages", "judged")}})


def of_case(case: gates.Case) -> UsualMisses:
    """From what the metric `recogniser` heard of the candidate's own samples."""
    path = case.files.root / layout.run(case.files.run.recipe, "metrics.json")
    chosen = case.params.speech.recogniser
    measures = records.read_one(path, SpeechMeasures) if path.is_file() else None
    if chosen is None or measures is None or measures.run_digest != case.files.run.run_digest:
        return UsualMisses()
    found = list(_judged(case, measures))
    if not found:
        return UsualMisses()
    misses, languages, marks = zip(*found, strict=True)
    most = max(LEAST_MOST, float(np.percentile(misses, PERCENTILE)))
    return UsualMisses(
        round(most, 3), chosen.digest, tuple(sorted(set(languages))), tuple(sorted(set(marks)))
    )


def _judged(case: gates.Case, measures: SpeechMeasures) -> Iterator[tuple[int, str, str]]:
    """Misses, language and mark of each judged sample that was heard. Long lines are cut when they are served, so they are none."""
    recipe = case.params.recipes[case.files.run.recipe]
    spoken_in = {one.id: one.language for one in lines.read(case.files.root / recipe.listen.lines)}
    said = {
        (one.line_id, one.seed): one.said
        for one in measures.samples
        if one.candidate == case.shown.candidate.name
    }
    for one in case.shown.samples:
        language, heard = spoken_in.get(one.line_id), said.get((one.line_id, one.seed))
        if language is None or heard is None or one.line_id.startswith(LONG):
            continue
        missed = transcripts.missed(one.text, heard, language)
        if missed is not None and len(one.text) >= LEAST_CHARS:
            yield missed, recogniser_files.code(language), mark(one.text, one.seed)


def mark(text: str, seed: int) -> str:
    """By which a judged line is known again."""
    return digest.of_value([text, seed])[:MARK_CHARS]


@dataclass(frozen=True)
class RequestEars:
    """Who hears the takes of one request."""

    ref: RecogniserRef
    usual: UsualMisses
    language: str

    def fault(self, text: str, seed: int, content: bytes) -> str | None:
        """MISSED_WORDS or None. A judged line with its seed is given out as it was judged."""
        if self.usual.most is None or len(text) < LEAST_CHARS or mark(text, seed) in self.usual.judged:
            return None
        if not transcripts.normalise(text, self.language):
            return None
        missed = transcripts.missed(text, self.heard(content), self.language)
        return MISSED_WORDS if missed is not None and missed > self.usual.most else None

    def heard(self, content: bytes) -> str:
        """The words in a WAV of 16-bit frames of one channel."""
        frames, rate_hz = sentences.frames_of(content)
        stored = np.frombuffer(frames, "<i2").astype(np.int16)
        samples = waveform.resample(waveform.as_float(stored), rate_hz, RATE_HZ)
        with _one_at_a_time:
            return recogniser.of(self.ref).hear(np.ascontiguousarray(samples, np.float32), self.language).text


def of_project(root: Path, version: str, config: Mapping[str, Any], language: str) -> RequestEars | None:
    """Who hears a version in a language now; None where the setting is off, or where nobody can say what is usual.

    Raises RecogniserError when the setting is on and the recogniser is missing, changed, or not the one that heard the judged lines.
    """
    chosen = gates.load_params(root)
    if not chosen.serving.hear_words:
        return None
    ref = _reference(root, chosen)
    usual = of_config(config)
    if usual.most is None:
        return None
    if usual.recogniser != ref.digest:
        raise RecogniserError(
            f"serving.hear_words is true, but the lines of version {version} were heard by recogniser {usual.recogniser[:16]}, and "
            f"speech.recogniser is {ref.digest[:16]}: what is usual for it is not known. Pin that one again (voicelathe recogniser add "
            f"MODEL), or judge and promote anew (make repro, then voicelathe promote {config['recipe']}). {OFF}"
        )
    known = {recogniser_files.code(one) for one in ref.languages} & set(usual.languages)
    return RequestEars(ref, usual, language) if recogniser_files.code(language) in known else None


def _reference(root: Path, chosen: schema.Params) -> RecogniserRef:
    """The pinned recogniser of a project, loaded. What a relative name means does not depend on where the process runs."""
    pinned = chosen.speech.recogniser
    if pinned is None:
        raise RecogniserError(
            "serving.hear_words is true, but speech.recogniser is null: nobody can hear. Name one: voicelathe recogniser add MODEL. "
            + OFF
        )
    if not pinned.model.startswith(recogniser_files.PACKAGE):
        pinned = replace(pinned, model=str(root / pinned.model))
    languages = None if pinned.languages is None else tuple(pinned.languages)
    try:
        with _loading:
            return _loaded(pinned.model, pinned.digest, pinned.licence, languages, chosen.machine)
    except VoiceLatheError as problem:
        raise RecogniserError(
            f"serving.hear_words is true and its recogniser cannot hear: {problem} {OFF}"
        ) from None


@functools.lru_cache(maxsize=2)
def _loaded(
    model: str, pinned: str, licence: str, languages: tuple[str, ...] | None, machine: schema.Machine
) -> RecogniserRef:
    """Once a process: every file is hashed, then the model stays in memory as it was."""
    if absent := recogniser.missing():
        raise RecogniserError(f"{absent}.")
    known = None if languages is None else list(languages)
    speech = schema.SpeechModels(schema.PinnedRecogniser(model, pinned, licence, known))
    ref = recogniser_files.reference(speech, machine)
    assert ref is not None, "a recogniser is named"
    recogniser.of(ref)
    return ref
