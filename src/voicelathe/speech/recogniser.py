"""What did somebody say in this clip? A Whisper (Radford et al., 2022) of any size, run by CTranslate2. The only door to it.

CTranslate2 is called without faster-whisper, which would bring PyAV, whose wheels carry the GPL libraries x264 and x265.
A clip is heard alone, so its words do not depend on what is heard beside it; on the CPU in int8 at one thread, on a card in float16.

Whisper reads 30 s at once, padded with silence, and four fifths of the time go into the padding. A short clip is read with less of it,
and again with all of it where the short reading looks doubtful: it repeats itself, says more than fits, or is not sure.
Whisper invents words where nobody speaks: nothing is read without voice activity, and no text is longer than can be said in the time.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voicelathe.errors import MetricUnavailable, RecogniserError
from voicelathe.records import RecogniserRef
from voicelathe.speech import RATE_HZ, activity, mel, recogniser_files

Samples = NDArray[np.float32]

FRAME, STEP, FRAMES_PER_S = 400, 160, 100
WHOLE_S = 30.0  # what a Whisper reads at once
WINDOWS_S = (
    10.0,
    15.0,
    WHOLE_S,
)  # lengths that are read; the shortest that leaves MARGIN_S of silence behind the clip
MARGIN_S = 1.0
LONGEST_S = 28.0  # a longer clip is cut in its pauses
EDGE_S = 0.5  # of silence that is kept before and after the speech
MIN_SPEECH_S = 0.3  # with less nobody has spoken
NO_SPEECH, UNSURE = 0.6, -1.0  # no_speech_prob and mean log-probability of a token, as OpenAI's own limits
MAX_CHARS_PER_S, FREE_CHARS = 40.0, 20  # nobody speaks faster; a longer text is cut off and counts as wrong
TOKENS_PER_S, FREE_TOKENS = 12.0, 12
ATTENTION_S = 0.02  # what one frame of the encoder is long
SPACE, MAX_ASCII = "\u0120", 127  # how a token of byte-level BPE writes a space before it
FEW_WORDS_TIMES = 4  # the same so often in a row is hardly speech


@dataclass(frozen=True)
class Reading:
    """One reading of at most WHOLE_S."""

    text: str
    log_prob: float  # mean over the tokens
    no_speech_prob: float


@dataclass(frozen=True)
class Transcript:
    """What was said in a clip; an empty text where nothing was."""

    text: str
    speech_s: float
    log_prob: float | None  # the lowest of its readings; None where nothing was read
    no_speech_prob: float | None  # the highest of its readings


class Sliced(Protocol):
    """Samples that may lie on disk: only slices of them are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Samples: ...


@dataclass(frozen=True)
class Timed:
    """A word, and where the recogniser's attention lay while it wrote it: good to a tenth of a second or two."""

    text: str
    start_s: float
    end_s: float


def missing() -> str | None:
    """Why nothing can be recognised here, with the remedy; None when it can."""
    absent = [
        name for name in ("ctranslate2", "tokenizers", "rapidfuzz", "silero_vad") if find_spec(name) is None
    ]
    return f"{' and '.join(absent)} not installed: pip install 'voicelathe[metrics]'" if absent else None


@cache
def opened(directory: str, digest: str, device: str) -> "Recogniser":
    """The recogniser of this directory, loaded once in a process. Raises RecogniserError or MetricUnavailable."""
    recogniser_files.require(Path(directory), digest)
    return Recogniser(Path(directory), device)


def of(ref: RecogniserRef) -> "Recogniser":
    return opened(ref.directory, ref.digest, ref.device)


class Recogniser:
    """A loaded Whisper. `hear` gives the same words for the same samples, whatever was heard before."""

    def __init__(self, directory: Path, device: str) -> None:
        os.environ.setdefault(
            "MKL_CBWR", "AVX2,STRICT"
        )  # else last digits depend on where a matrix lies in memory
        try:
            import ctranslate2
            import tokenizers
        except ImportError as problem:
            raise MetricUnavailable.of("ctranslate2", problem) from None
        precision = "float16" if device == "cuda" else "int8"
        try:
            self._model: Any = ctranslate2.models.Whisper(
                str(directory), device=device, compute_type=precision, intra_threads=1, inter_threads=1
            )
            self._tokens: Any = tokenizers.Tokenizer.from_file(str(directory / recogniser_files.TOKENIZER))
        except (RuntimeError, ValueError) as problem:
            raise RecogniserError(
                f"{directory} cannot be loaded on {device} as {precision}: {problem}. {_remedy(device)}"
            ) from None
        except Exception as problem:  # tokenizers raises Exception itself
            raise RecogniserError(
                f"{directory / recogniser_files.TOKENIZER}: {problem}. Download it again."
            ) from None
        self._storage = ctranslate2.StorageView.from_array

    def hear(
        self, samples: Samples, language: str, found: Sequence[activity.Segment] | None = None
    ) -> Transcript:
        """The words in mono samples at RATE_HZ. `found` are the stretches of speech where they are known already."""
        found = activity.segments(samples) if found is None else found
        speech_s = activity.speech_s(list(found))
        if speech_s < MIN_SPEECH_S:
            return Transcript("", speech_s, None, None)
        prompt = self._prompt(language)
        readings = [self._read(samples[start:end], prompt) for start, end in pieces(found, len(samples))]
        return Transcript(
            " ".join(one.text for one in readings if one.text),
            speech_s,
            min(one.log_prob for one in readings),
            max(one.no_speech_prob for one in readings),
        )

    def words(
        self, samples: "Sliced", language: str, found: Sequence[activity.Segment]
    ) -> Iterator[list[Timed]]:
        """Each piece of at most LONGEST_S: its words with their times in `samples`, of any length."""
        prompt = self._prompt(language)
        for start, end in pieces(found, len(samples)):
            piece = samples[start:end]
            reading = self._read(piece, prompt)
            yield self._timed(piece, reading.text, language, start / RATE_HZ) if reading.text else []

    def _timed(self, samples: Samples, text: str, language: str, offset_s: float) -> list[Timed]:
        """Forced alignment of what was heard, by the attention heads that follow the time."""
        ids = list(self._tokens.encode(f" {text}", add_special_tokens=False).ids)
        length_s = len(samples) / RATE_HZ
        encoded = self._model.encode(self._storage(features(samples, WHOLE_S, self._model.n_mels)))
        frames = min(len(samples) // STEP, round(WHOLE_S * FRAMES_PER_S))
        (aligned,) = self._model.align(encoded, self._prompt(language), [ids], frames)
        starts: dict[int, float] = {}
        for token, frame in aligned.alignments:
            starts.setdefault(token, min(frame * ATTENTION_S, length_s))
        names = [self._tokens.id_to_token(one) for one in ids]
        made = []
        for first, spoken, last in _whole_words(names):
            start_s, end_s = starts.get(first, length_s), starts.get(spoken, length_s)
            word = str(self._tokens.decode(ids[first:last])).strip()
            if word:
                made.append(
                    Timed(word, round(offset_s + start_s, 3), round(offset_s + max(start_s, end_s), 3))
                )
        return made

    def _read(self, samples: Samples, prompt: list[int]) -> Reading:
        length_s = len(samples) / RATE_HZ
        windows = [window for window in WINDOWS_S if window >= length_s + MARGIN_S] or [WHOLE_S]
        reading = self._once(samples, prompt, windows[0])
        if windows[0] < WHOLE_S and is_doubtful(reading, length_s):
            reading = self._once(samples, prompt, WHOLE_S)
        if reading.no_speech_prob > NO_SPEECH and reading.log_prob < UNSURE:
            return Reading("", reading.log_prob, reading.no_speech_prob)
        return Reading(reading.text[: most_chars(length_s)], reading.log_prob, reading.no_speech_prob)

    def _once(self, samples: Samples, prompt: list[int], window_s: float) -> Reading:
        (told,) = self._model.generate(
            self._storage(features(samples, window_s, self._model.n_mels)),
            [prompt],
            beam_size=1,
            max_length=len(prompt) + FREE_TOKENS + round(TOKENS_PER_S * len(samples) / RATE_HZ),
            return_scores=True,
            return_no_speech_prob=True,
        )
        text = self._tokens.decode(told.sequences_ids[0], skip_special_tokens=True)
        return Reading(str(text).strip(), float(told.scores[0]), float(told.no_speech_prob))

    def _prompt(self, language: str) -> list[int]:
        task = (
            [f"<|{recogniser_files.code(language)}|>", "<|transcribe|>"]
            if self._model.is_multilingual
            else []
        )
        names = ["<|startoftranscript|>", *task, "<|notimestamps|>"]
        tokens = [self._tokens.token_to_id(name) for name in names]
        if None in tokens:
            raise RecogniserError(
                f"the recogniser has no token {names[tokens.index(None)]}: it does not know {language!r}"
            )
        return tokens


def _whole_words(tokens: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """What is written without a space between: its first token, the one behind its letters, and the one behind its marks."""
    first = spoken = 0
    for at, token in enumerate(tokens):
        is_said = any(one.isalnum() or ord(one) > MAX_ASCII for one in token.removeprefix(SPACE))
        if at and is_said and token.startswith(SPACE):
            yield first, max(spoken, first + 1), at
            first = at
        if is_said:
            spoken = at + 1
    if tokens:
        yield first, max(spoken, first + 1), len(tokens)


def is_doubtful(reading: Reading, length_s: float) -> bool:
    """Whether a reading with little padding should not be believed."""
    too_long = len(reading.text) > most_chars(length_s)
    return too_long or not reading.text or reading.log_prob < UNSURE or repeats(reading.text)


def repeats(text: str) -> bool:
    """Whether one or two words stand FEW_WORDS_TIMES in a row, or more words twice."""
    words = text.lower().split()
    for size in range(1, len(words) // 2 + 1):
        times = FEW_WORDS_TIMES if size < 3 else 2
        for start in range(len(words) - times * size + 1):
            if words[start : start + size] * times == words[start : start + times * size]:
                return True
    return False


def most_chars(length_s: float) -> int:
    """More characters cannot be said in the time."""
    return FREE_CHARS + round(MAX_CHARS_PER_S * length_s)


def pieces(found: Sequence[activity.Segment], num_samples: int) -> list[tuple[int, int]]:
    """What is read, as first and last sample: all of the speech with a little of its edges, cut in pauses where it is too long to be read at once."""
    total_s = num_samples / RATE_HZ
    spans: list[list[float]] = []
    for start_s, end_s in _short(found):
        if spans and end_s - spans[-1][0] <= LONGEST_S:
            spans[-1][1] = end_s
        else:
            spans.append([start_s, end_s])
    made = []
    for place, (start_s, end_s) in enumerate(spans):
        before_s = (start_s - spans[place - 1][1]) / 2 if place else start_s
        after_s = (spans[place + 1][0] - end_s) / 2 if place + 1 < len(spans) else total_s - end_s
        first, last = start_s - min(EDGE_S, before_s), end_s + min(EDGE_S, after_s)
        made.append((max(0, round(first * RATE_HZ)), min(num_samples, round(last * RATE_HZ))))
    return made


def _short(found: Sequence[activity.Segment]) -> list[tuple[float, float]]:
    """Stretches of speech, those that are longer than LONGEST_S cut into equal parts."""
    short = []
    for one in found:
        number = max(1, int(np.ceil((one.end_s - one.start_s) / LONGEST_S)))
        size = (one.end_s - one.start_s) / number
        short += [(one.start_s + part * size, one.start_s + (part + 1) * size) for part in range(number)]
    return short


def features(samples: Samples, window_s: float, bands: int) -> Samples:
    """Whisper's log-mel features [1, bands, frames], the clip padded with silence to the window."""
    frames = round(window_s * FRAMES_PER_S)
    power = mel.bands(samples, frame=FRAME, step=STEP, bands=bands)[:frames]
    power = np.pad(power, ((0, frames - len(power)), (0, 0)))
    decades = np.log10(np.maximum(power, 1e-10))
    decades = np.maximum(decades, decades.max() - 8.0)
    return np.ascontiguousarray(((decades + 4.0) / 4.0).T[None], np.float32)


def _remedy(device: str) -> str:
    if device == "cuda":
        return "CTranslate2 needs CUDA 12's cuBLAS and cuDNN 9 (pip install nvidia-cublas-cu12 nvidia-cudnn-cu12)"
    return "Add the model again: voicelathe recogniser add MODEL"
