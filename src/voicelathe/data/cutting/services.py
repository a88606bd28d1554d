"""What do the answers of recognisers other than Whisper say, and when? Deepgram's, FunASR's, Amazon's, Google's, and lists of words.

Each becomes segments with start, end and text in seconds, as Whisper has them. Sentences of the service are taken where it gives some;
else words are put together up to the end of a sentence, a pause or another speaker.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

PAUSE_S = 1.0
OTHERS = (
    "start",
    "segments",
    "utterances",
    "chunks",
    "transcription",
)  # beside words that are said there, too
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
    if isinstance(value, list):
        mine = [one for one in value if isinstance(one, dict) and one.get("key") == name]
        value = next(iter(mine if len(mine) == 1 else value if len(value) == 1 else ()), None)
    if not isinstance(value, dict):
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
    if isinstance(value.get("words"), list) and not any(value.get(one) for one in OTHERS):
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
    found = [one for some in best for one in _sentences(_words(some.get("words")))]
    return found or _joined(some.get("transcript") for some in best)


def _funasr(value: Mapping[str, Any]) -> list[Segment] | str:
    """Times in thousandths. Without sentences there is a pair of times for each character or word, but not for punctuation."""
    if sentences := _objects(value.get("sentence_info")):
        return [
            _segment(
                {
                    "start": _thousandth(one.get("start")),
                    "end": _thousandth(one.get("end")),
                    "speaker": one.get("spk"),
                },
                TAG.sub("", str(one.get("text", one.get("sentence", "")))),
            )
            for one in sentences
        ]
    text, pairs = TAG.sub("", str(value.get("text", ""))), value["timestamp"]
    tokens = TOKEN.findall(text)
    if sum(map(_is_said, tokens)) != len(pairs):
        return text
    times = iter(pairs)
    words = []
    for token in tokens:
        start, end = next(times) if _is_said(token) else (None, None)
        words.append(TimedWord(token, _thousandth(start), _thousandth(end)))
    return list(_sentences(words))


def _is_said(token: str) -> bool:
    return any(map(str.isalnum, token))


def _words(value: Any) -> list[TimedWord]:
    """Words of a list; whole numbers for all of them are thousandths, for no word begins and ends with a second."""
    held = _objects(value)
    times = [one.get(name) for one in held for name in ("start", "end")]
    read = _thousandth if times and all(isinstance(one, int) for one in times) else _seconds
    return [
        TimedWord(
            str(one.get("punctuated_word") or one.get("word") or one.get("text") or "").strip(),
            read(one.get("start", one.get("startTime"))),
            read(one.get("end", one.get("endTime"))),
            one.get("speaker", one.get("speakerTag", one.get("speaker_id"))),
        )
        for one in held
        if one.get("type") not in ("spacing", "audio_event")
    ]


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


def _seconds(value: Any) -> Any:
    """A number, also as text ("1.35", "1.300s"); anything else as it is."""
    try:
        return float(value.removesuffix("s")) if isinstance(value, str) else value
    except ValueError:
        return value


def _thousandth(value: Any) -> Any:
    return value / 1000 if isinstance(value, (int, float)) else value


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
