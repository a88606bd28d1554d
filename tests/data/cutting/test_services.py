"""Answers of Deepgram, FunASR, Amazon, Google and AssemblyAI, in the forms that they document: sentences, words, or a text alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from voicelathe.data.cutting import cues
from voicelathe.errors import SubtitleError

SAID = [(1.0, 2.5, "Hello there."), (4.0, 5.5, "How are you?")]
TIMED = (
    ("Hello", 1.0, 1.5),
    ("there.", 1.75, 2.5),
    ("How", 4.0, 4.25),
    ("are", 4.5, 4.75),
    ("you?", 5.0, 5.5),
)


def words(text: str, unit: float = 1.0, **more: Any) -> list[dict[str, Any]]:
    return [
        {text: word, "start": start * unit, "end": end * unit, "confidence": 0.99, **more}
        for word, start, end in TIMED
    ]


def in_ms(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "start": int(1000 * one["start"]), "end": int(1000 * one["end"])} for one in some]


def deepgram(**inside: Any) -> dict[str, Any]:
    transcript = "Hello there. How are you?"
    best = {"transcript": transcript, "confidence": 0.99, "words": [], **inside.pop("best", {})}
    return {"metadata": {"duration": 6.0}, "results": {"channels": [{"alternatives": [best]}], **inside}}


SENTENCES = [{"start": start, "end": end, "text": text} for start, end, text in SAID]
AMAZON = [
    *(
        {
            "type": "pronunciation",
            "start_time": "1.0",
            "end_time": "1.5",
            "alternatives": [{"content": "Hello"}],
        },
    ),
    *(
        {
            "type": "pronunciation",
            "start_time": "1.75",
            "end_time": "2.5",
            "alternatives": [{"content": "there"}],
        },
    ),
    *({"type": "punctuation", "alternatives": [{"content": "."}]},),
    *(
        {
            "type": "pronunciation",
            "start_time": "4.0",
            "end_time": "4.25",
            "alternatives": [{"content": "How"}],
        },
    ),
    *(
        {
            "type": "pronunciation",
            "start_time": "4.5",
            "end_time": "4.75",
            "alternatives": [{"content": "are"}],
        },
    ),
    *(
        {
            "type": "pronunciation",
            "start_time": "5.0",
            "end_time": "5.5",
            "alternatives": [{"content": "you"}],
        },
    ),
    *({"type": "punctuation", "alternatives": [{"content": "?"}]},),
]
PAIRS = [[int(1000 * start), int(1000 * end)] for _, start, end in TIMED]
ANSWERS: dict[str, Any] = {
    "Deepgram, utterances": deepgram(
        utterances=[
            {"start": one["start"], "end": one["end"], "transcript": one["text"]} for one in SENTENCES
        ]
    ),
    "Deepgram, paragraphs": deepgram(best={"paragraphs": {"paragraphs": [{"sentences": SENTENCES}]}}),
    "Deepgram, words": deepgram(
        best={
            "words": [
                {**one, "word": one["punctuated_word"].lower().strip(".?")}
                for one in words("punctuated_word")
            ]
        }
    ),
    "FunASR, sentences": [
        {"key": "other", "text": "x", "timestamp": PAIRS, "sentence_info": in_ms(SENTENCES)}
    ],
    "FunASR, sentences by another name": {
        "sentence_info": [
            {**one, "sentence": one["text"], "text": f"<|en|>{one['text']}"} for one in in_ms(SENTENCES)
        ]
    },
    "FunASR, words": [{"key": "a", "text": "Hello there. How are you?", "timestamp": PAIRS}],
    "FunASR, several files": [
        {"key": "b", "text": "No.", "timestamp": [[1, 2]]},
        {"key": "a", "text": "Hello there. How are you?", "timestamp": PAIRS},
    ],
    "Amazon, segments": {
        "results": {
            "items": [],
            "audio_segments": [
                {"transcript": one["text"], "start_time": str(one["start"]), "end_time": str(one["end"])}
                for one in SENTENCES
            ],
        }
    },
    "Amazon, words": {"jobName": "x", "results": {"transcripts": [{"transcript": "x"}], "items": AMAZON}},
    "Google": {
        "results": [
            {
                "alternatives": [
                    {
                        "transcript": "Hello there. How are you?",
                        "words": [
                            {"startTime": f"{start}00s", "endTime": f"{end}s", "word": word}
                            for word, start, end in TIMED
                        ],
                    }
                ]
            }
        ]
    },
    "AssemblyAI, words": {
        "id": "7",
        "text": "x",
        "utterances": None,
        "words": in_ms(words("text", speaker=None)),
    },
    "words of Whisper's API": {"text": "x", "words": words("word")},
}


def read(tmp_path: Path, value: Any) -> cues.Parsed:
    (tmp_path / "a.json").write_text(json.dumps(value))
    return cues.read(tmp_path / "a.json")


@pytest.mark.parametrize("what", ANSWERS)
def test_sentences_of_services_are_read_in_seconds(tmp_path: Path, what: str) -> None:
    found = read(tmp_path, ANSWERS[what])
    assert [(one.start_s, one.end_s, one.text) for one in found.cues] == SAID and not found.problems


def test_speakers_that_are_numbers_have_the_names_that_diarisers_give(tmp_path: Path) -> None:
    utterances = [
        {"start": at, "end": at + 1, "transcript": f"Yes {at}.", "speaker": at % 2} for at in range(4)
    ]
    found = read(tmp_path, deepgram(utterances=utterances))
    assert [one.speaker for one in found.cues] == ["SPEAKER_00", "SPEAKER_01"] * 2
    spoken = [{**one, "spk": at} for at, one in enumerate(in_ms(SENTENCES))]
    assert [one.speaker for one in read(tmp_path, {"sentence_info": spoken}).cues] == [
        "SPEAKER_00",
        "SPEAKER_01",
    ]


def test_words_end_at_a_pause_and_with_another_speaker(tmp_path: Path) -> None:
    made = words("word")
    for one in made:
        one["word"] = one["word"].strip(".?").lower()
    made[-1]["speaker"] = 1
    found = read(tmp_path, deepgram(best={"words": [{"speaker": 0, **one} for one in made]}))
    assert [one.text for one in found.cues] == ["hello there", "how are", "you"]


def test_chinese_has_a_time_for_each_character_and_none_for_its_punctuation(tmp_path: Path) -> None:
    text = "<|zh|><|NEUTRAL|>你好，世界。我用 Python 写。"
    pairs = [[500 * at, 500 * at + 400] for at in range(8)]
    found = read(tmp_path, [{"key": "a", "text": text, "timestamp": pairs}])
    assert [(one.start_s, one.end_s, one.text) for one in found.cues] == [
        (0.0, 1.9, "你好，世界。"),
        (2.0, 3.9, "我用Python写。"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        deepgram(),
        [{"key": "a", "text": "Hello there. How are you?", "timestamp": [[0, 100]]}],
        {"results": {"transcripts": [{"transcript": "Hello there. How are you?"}], "items": []}},
        {
            "results": [
                {"alternatives": [{"transcript": "Hello there."}]},
                {"alternatives": [{"transcript": "How are you?"}]},
            ]
        },
    ],
    ids=["Deepgram", "FunASR", "Amazon", "Google"],
)
def test_a_text_without_times_is_a_plain_transcript(tmp_path: Path, value: Any) -> None:
    found = read(tmp_path, value)
    assert [one.text for one in found.cues] == ["Hello there.", "How are you?"] and not found.is_timed


@pytest.mark.parametrize(
    "value",
    [
        *(
            {"results": {"channels": []}},
            {"results": {"channels": [{}]}},
            {"results": []},
            {"sentence_info": [1, {}]},
            {"sentence_info": [1]},
        ),
        *({"words": [{"word": None}, {"start": 1}]}, {"results": {"items": [{"alternatives": None}]}}),
        *(
            {"results": {"channels": [{"alternatives": [{"words": [{"word": "a", "start": "x"}]}]}]}},
            {"status": "queued"},
        ),
    ],
)
def test_an_answer_that_says_nothing_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(SubtitleError):
        read(tmp_path, value)


def test_json_of_something_else_is_told_of_by_its_keys(tmp_path: Path) -> None:
    with pytest.raises(SubtitleError, match="its keys are phrases, version"):
        read(tmp_path, {"phrases": [], "version": 1})


WORDS = [{"word": " Hello", "start": 0.0, "end": 1.0}, {"word": " there", "start": 2.1, "end": 2.3}]


@pytest.mark.parametrize("inner", [[], WORDS], ids=["no words", "words that are not all"])
@pytest.mark.parametrize(
    "times",
    [{"start": 0.0, "end": 2.5}, {"start_time": 0, "end_time": 2.5}, {"offsets": {"from": 0, "to": 2500}}],
    ids=["Whisper", "another name", "whisper.cpp"],
)
def test_a_list_of_one_segment_keeps_its_text(
    tmp_path: Path, times: dict[str, Any], inner: list[Any]
) -> None:
    found = read(tmp_path, [{**times, "text": "Hello there my friend", "words": inner}])
    assert [(one.start_s, one.end_s, one.text) for one in found.cues] == [(0.0, 2.5, "Hello there my friend")]


@pytest.mark.parametrize("results", [[], [{"alternatives": [{"transcript": "Something else."}]}]])
def test_segments_beside_the_results_of_another_tool_are_read(tmp_path: Path, results: list[Any]) -> None:
    found = read(tmp_path, {"results": results, "segments": SENTENCES})
    assert [(one.start_s, one.end_s, one.text) for one in found.cues] == SAID


def google(form: Any, first: str = "startTime", last: str = "endTime") -> list[dict[str, Any]]:
    return [{first: form(start), last: form(end), "word": word} for word, start, end in TIMED]


def results(*said: list[dict[str, Any]]) -> dict[str, Any]:
    return {"results": [{"alternatives": [{"transcript": "", "words": some}]} for some in said]}


def in_nanos(time: float) -> dict[str, Any]:
    return {"seconds": str(int(time)), **({"nanos": int(time % 1 * 1e9)} if time % 1 else {})}


def clock(time: float) -> str:
    return f"00:00:{time:06.3f}"


@pytest.mark.parametrize(
    "value",
    [
        results(google(in_nanos)),
        results(google(lambda time: f"{time}s", "startOffset", "endOffset")),
        results(google(clock)),
        {"words": [{**one, "start": clock(one["start"]), "end": clock(one["end"])} for one in words("word")]},
        {"text": "Hello there. How are you?", "timestamp": [[str(one) for one in pair] for pair in PAIRS]},
    ],
    ids=["seconds and nanos", "Google v2", "Google, a clock", "words, a clock", "FunASR, texts"],
)
def test_times_in_other_forms_are_read(tmp_path: Path, value: Any) -> None:
    found = read(tmp_path, value)
    assert [(one.start_s, one.end_s, one.text) for one in found.cues] == SAID


@pytest.mark.parametrize("odd", ["soon", "", [], {}, {"seconds": {}}, True, 10**400, "1e999", float("nan")])
@pytest.mark.parametrize("where", ["words", "Google", "FunASR", "FunASR, sentences", "Amazon"])
def test_a_time_that_is_none_is_refused_or_passed_over(tmp_path: Path, where: str, odd: Any) -> None:
    item = {"type": "pronunciation", "alternatives": [{"content": "Yes"}]}
    for start, end in ((odd, odd), (1, odd), (odd, 2)):
        value: Any = {
            "words": {"words": [*words("word"), {"word": "Yes", "start": start, "end": end}]},
            "Google": results([{"word": "Yes", "startTime": start, "endTime": end}, *google(in_nanos)]),
            "FunASR": {"text": "Yes no", "timestamp": [[start, end], [3000, 4000]]},
            "FunASR, sentences": {"sentence_info": [{"text": "Yes", "start": start, "end": end}]},
            "Amazon": {"results": {"items": [{**item, "start_time": start, "end_time": end}, *AMAZON]}},
        }[where]
        try:
            found = read(tmp_path, value).cues
        except SubtitleError:
            continue
        times = [time_s for cue in found for time_s in (cue.start_s, cue.end_s) if time_s is not None]
        assert found and all(0 <= time_s < 100 for time_s in times), "a time that is none stands for one"


def test_google_repeats_all_words_in_its_last_result_when_it_says_who_speaks(tmp_path: Path) -> None:
    said = google(lambda time: f"{time}s")
    tagged = [{**one, "speakerTag": 1 + (at > 1)} for at, one in enumerate(said)]
    found = read(tmp_path, results(said[:2], said[2:], tagged))
    assert [(one.start_s, one.end_s, one.text) for one in found.cues] == SAID
    assert [one.speaker for one in found.cues] == ["SPEAKER_01", "SPEAKER_02"]
    apart = read(tmp_path, results(tagged[:2], tagged[2:]))  # each result has its own words
    assert [one.text for one in apart.cues] == [text for *_, text in SAID]


def test_whole_numbers_are_thousandths_only_where_no_words_of_seconds_can_be_meant(tmp_path: Path) -> None:
    gap = in_ms(words("text"))
    gap[2]["end"] = None
    found = read(tmp_path, {"words": gap})
    assert [(one.start_s, one.end_s, one.text) for one in found.cues] == SAID
    for start, end in ((0, 1), (0, 3), (200, 202)):
        (cue,) = read(tmp_path, {"words": [{"word": "Hi", "start": start, "end": end}]}).cues
        assert (cue.start_s, cue.end_s) == (start, end)
