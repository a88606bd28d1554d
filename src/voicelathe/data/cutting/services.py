"""What do the answers of recognisers other than Whisper say, and when? Deepgram's, FunASR's, Amazon's, Google's, and lists of words.

Each becomes segments with start, end and text in seconds, as Whisper has them. Sentences of the service are taken where it gives some;
else words are put together up to the end of a sentence, a pause or another speaker.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

PAUSE_S = 1.0
OTHERS = ("segments", "utterances", "chunks", "transcription")  # which say the same in pieces with times
OF_SEGMENT = ("start", "t0", "start_time", "start_s", "offsets", "timestamp")  # a time of its own
WORDS_S = 10.0  # whole numbers that differ by more on average are thousandths: no word takes as long
MOST = 1 << 53  # of a whole number that is a time
CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d{1,6})?)")
STARTS = ("start", "startTime", "startOffset")
ENDS = ("end", "endTime", "endOffset")
SPEAKERS = ("speaker", "speakerTag", "speakerLabel", "speaker_id")
END = re.compile(r"[.!?…。！？][\"'”’)\]]*$")
TAG = re.compile(r"<\|[^|<>]{0,40}\|>")  # language and mood of SenseVoice
UNSPACED = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"  # Chinese and Japanese, with their punctuation
TOKEN = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")
NO_SPACE = re.compile(f"(?<=[{UNSPACED}]) | (?=[{UNSPACED}])| (?=[,.!?;:%])")
Segment = dict[str, Any]


@dataclass(frozen=True)
class TimedWord:
    """One word with its times in seconds; punctuation has none of its own."""

    text: str
    start: float | None
    end: float | None
    speaker: Any = None


def segments(value: Any, name: str) -> list[Segment] | str | None:
    """Segments, or a text without times, of the recording of that name; None for what is of none of these services."""
    is_list = isinstance(value, list)
    if is_list:
        mine = [one for one in value if isinstance(one, dict) and one.get("key") == name]
        value = next(iter(mine if len(mine) == 1 else value if len(value) == 1 else ()), None)
    if not isinstance(value, dict) or any(_objects(value.get(one)) for one in OTHERS):
        return None
    results = value.get("results")
    if isinstance(results, dict) and isinstance(results.get("channels"), list):
        return _deepgram(results)
    if isinstance(results, dict) and ("items" in results or "transcripts" in results):
        return _amazon(results)
    if isinstance(results, list):
        return _google(results)
    if isinstance(value.get("sentence_info"), list) or _is_pairs(value.get("timestamp")):
        return _funasr(value)
    is_segment = is_list and any(one in value for one in OF_SEGMENT)
    if isinstance(value.get("words"), list) and not is_segment:
        return list(_sentences(_words(value["words"])))
    return None


def _deepgram(results: Mapping[str, Any]) -> list[Segment] | str:
    if utterances := _objects(results.get("utterances")):
        return [_segment(one, one.get("transcript")) for one in utterances]
    best = [
        one for channel in _objects(results["channels"]) for one in _objects(channel.get("alternatives"))[:1]
    ]
    paragraphs = [one for some in best for one in _objects(_object(some.get("paragraphs")).get("paragraphs"))]
    if paragraphs:
        return [
            _segment({"speaker": paragraph.get("speaker"), **one}, one.get("text"))
            for paragraph in paragraphs
            for one in _objects(paragraph.get("sentences"))
        ]
    found = [one for some in best for one in _sentences(_words(some.get("words")))]
    return found or _joined(some.get("transcript") for some in best)


def _amazon(results: Mapping[str, Any]) -> list[Segment] | str:
    if parts := _objects(results.get("audio_segments")):
        return [_segment(one, one.get("transcript")) for one in parts]
    words = [
        TimedWord(
            str(_first(one.get("alternatives")).get("content", "")),
            _seconds(one.get("start_time")),
            _seconds(one.get("end_time")),
            one.get("speaker_label"),
        )
        for one in _objects(results.get("items"))
    ]
    return list(_sentences(words)) or _joined(
        one.get("transcript") for one in _objects(results.get("transcripts"))
    )


def _google(results: list[Any]) -> list[Segment] | str:
    best = [_first(one.get("alternatives")) for one in _objects(results)]
    said = _once([_words(some.get("words")) for some in best])
    found = [one for some in said for one in _sentences(some)]
    return found or _joined(some.get("transcript") for some in best)


def _once(said: list[list[TimedWord]]) -> list[list[TimedWord]]:
    """The words of each result; with diarisation the last one repeats those of all before it, and says who speaks."""
    last = next((some for some in reversed(said) if any(one.speaker for one in some)), [])
    begins = [
        next((one.start for one in some if one.start is not None), math.inf) for some in (last, *said) if some
    ]
    return [last] if last and begins[0] <= min(begins) else said


def _funasr(value: Mapping[str, Any]) -> list[Segment] | str:
    """Times in thousandths. Without sentences there is a pair of times for each character or word, but not for punctuation."""
    if sentences := _objects(value.get("sentence_info")):
        return [
            _segment(
                {
                    "start": _seconds(one.get("start"), 1000),
                    "end": _seconds(one.get("end"), 1000),
                    "speaker": one.get("spk"),
                },
                TAG.sub("", str(one.get("text", one.get("sentence", "")))),
            )
            for one in sentences
        ]
    text, pairs = TAG.sub("", str(value.get("text", ""))), value.get("timestamp")
    tokens = TOKEN.findall(text)
    if not isinstance(pairs, list) or not _is_pairs(pairs) or sum(map(_is_said, tokens)) != len(pairs):
        return text
    times = iter(pairs)
    words = []
    for token in tokens:
        start, end = next(times) if _is_said(token) else (None, None)
        words.append(TimedWord(token, _seconds(start, 1000), _seconds(end, 1000)))
    return list(_sentences(words))


def _is_said(token: str) -> bool:
    return any(map(str.isalnum, token))


def _words(value: Any) -> list[TimedWord]:
    held = [one for one in _objects(value) if one.get("type") not in ("spacing", "audio_event")]
    times = [(_among(one, STARTS), _among(one, ENDS)) for one in held]
    per_second = 1000 if _are_thousandths(times) else 1
    return [
        TimedWord(
            str(one.get("punctuated_word") or one.get("word") or one.get("text") or "").strip(),
            _seconds(start, per_second),
            _seconds(end, per_second),
            _among(one, SPEAKERS),
        )
        for one, (start, end) in zip(held, times, strict=True)
    ]


def _are_thousandths(times: list[tuple[Any, Any]]) -> bool:
    """Whether the times of words are whole numbers that lie too far apart for seconds; one that is missing says nothing."""
    if not all(type(one) is int for pair in times for one in pair if one is not None):
        return False
    lengths = [end - start for start, end in times if start is not None and end is not None]
    return bool(sum(lengths) > WORDS_S * len(lengths))


def _among(one: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((one[name] for name in names if one.get(name) is not None), None)


def _sentences(words: Iterable[TimedWord]) -> Iterator[Segment]:
    """Words up to the end of a sentence, a pause or another speaker, as segments."""
    held: list[TimedWord] = []
    for word, after in pairwise([*words, None]):
        assert word is not None, "only the last is none"
        held.append(word)
        if after is None or (after.start is not None and _ends(held, after)):
            timed = [one for one in held if one.start is not None]
            if timed:
                said = NO_SPACE.sub("", " ".join(one.text for one in held))
                yield _segment(
                    {"start": timed[0].start, "end": timed[-1].end, "speaker": timed[0].speaker}, said
                )
            held = []


def _ends(held: list[TimedWord], after: TimedWord) -> bool:
    last = next((one for one in reversed(held) if one.start is not None), None)
    if last is None:
        return False
    has_pause = last.end is not None and after.start is not None and after.start - last.end > PAUSE_S
    return has_pause or after.speaker != last.speaker or bool(END.search(held[-1].text))


def _segment(one: Mapping[str, Any], text: object) -> Segment:
    speaker = one.get("speaker", one.get("speaker_label"))
    named = (
        f"SPEAKER_{speaker:02d}" if isinstance(speaker, int) and not isinstance(speaker, bool) else speaker
    )
    start, end = (_seconds(one.get(name, one.get(f"{name}_time"))) for name in ("start", "end"))
    return {"start": start, "end": end, "text": text, "speaker": named}


def _seconds(value: Any, per_second: int = 1) -> float | None:
    """Of a number, also as text ("1.35", "1.300s"), of a clock, or of Google's seconds and nanos; None for anything else."""
    if isinstance(value, dict):
        parts = [value.get(name, 0) for name in ("seconds", "nanos")]
        whole, nanos = (None if isinstance(one, dict) else _seconds(one) for one in parts)
        return None if whole is None or nanos is None else whole + nanos / 1e9
    if isinstance(value, str):
        if (clock := of_clock(value)) is not None:
            return clock
        try:
            return float(value.removesuffix("s")) / per_second
        except ValueError:
            return None
    if isinstance(value, float) or (type(value) is int and abs(value) < MOST):
        return value / per_second
    return None


def of_clock(value: str) -> float | None:
    """Seconds of "00:00:01.500"; None for anything else."""
    found = CLOCK.fullmatch(value.strip())
    if found is None:
        return None
    return 3600 * int(found[1] or 0) + 60 * int(found[2]) + float(found[3].replace(",", "."))


def _joined(texts: Iterable[Any]) -> str:
    return " ".join(one.strip() for one in texts if isinstance(one, str) and one.strip())


def _is_pairs(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, list) and len(one) == 2 for one in value)
    )


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(value: Any) -> Mapping[str, Any]:
    return next(iter(_objects(value)), {})
