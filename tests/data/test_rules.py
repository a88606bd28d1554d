"""Every rule fires on its fault and stays silent just beside it; rows that repeat each other lose the copy, not the original."""

import base64
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.factories import rows
from voicelathe import records
from voicelathe.data.audit import clean, rules
from voicelathe.data.audit.rules import MeasuredRow, outliers, repeats
from voicelathe.records import Finding


def codes(clip: MeasuredRow, **limits: Any) -> list[str]:
    """What the whole audit finds in a manifest of this one clip: a rule whose mask or place was forgotten is silent here."""
    heard = [clip.heard] if clip.heard is not None else []
    known = rows.limits(**limits)
    found = clean.audit([clip.row], [], [clip.measure], known.audit, known.phrases, heard)
    return [finding.rule for finding in found.findings]


def test_a_rule_without_a_mask_looks_at_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    new = rules.drop(
        "new_rule", "A rule that somebody adds, without a mask.", lambda clip, _: ("seen", "never")
    )
    monkeypatch.setattr(rules, "RULES", (*rules.RULES, new))
    monkeypatch.setattr(rules, "OF_MEASURED", (*rules.OF_MEASURED, new))
    monkeypatch.setattr(clean, "ALL_RULES", (*clean.ALL_RULES, new))
    assert codes(rows.clip()) == ["new_rule"]


def test_clean_speech_breaks_no_rule() -> None:
    assert codes(rows.clip()) == []


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "empty_text": ({"text": "\u200b..."}, {}),
    "boilerplate": ({"text": "Thanks for watching, it was a rainy day and a long one!"}, {}),
    "control_characters": ({"text": rows.SENTENCE + "\u202e"}, {}),
    "long_text": ({"text": "word " * 120}, {"duration_s": 25.0}),
    "too_short": (
        {"text": "a"},
        {"duration_s": 0.0999, "leading_silence_s": 0.0, "trailing_silence_s": 0.0, "level_spread_db": None},
    ),
    "too_long": ({"text": "word " * 90}, {"duration_s": 30.01}),
    "nonfinite": ({}, {"num_nonfinite": 1}),
    "clipped": ({}, {"clipped_share": 0.0011}),
    "wrong_script": ({"text": "Лампа у окна горит, и дождь наконец прекратился совсем."}, {}),
    "silent": ({}, {"silence_share": 0.55}),  # 1.45 s of the 2.8 s between the edges
    "band_limited": ({}, {"cutoff_hz": 3900.0}),
    "steady": ({}, {"level_spread_db": 5.9}),
    "declared_rate": ({"sample_rate_hz": 24000}, {}),
    "file_rate": ({"sample_rate_hz": 8000}, {"file_rate_hz": 8000}),
    "too_fast": ({}, {"duration_s": 1.85}),  # 59 letters in 1.65 s
    "too_slow": ({}, {"duration_s": 16.3}),  # 1.2 s and 59 letters at 4 a second are 15.95 s
    "boilerplate_said": ({"text": "Thank you."}, {"duration_s": 0.9, "level_spread_db": None}),
    "replacement_character": ({"text": "She painted the sm\ufffdll door a bright yellow today."}, {}),
    "double_encoding": ({"text": "Die M\u00c3\u00a4dchen h\u00c3\u00b6ren am Abend gerne Musik."}, {}),
    "markup": ({"text": "Speaker 0: The lamp beside the window is on today."}, {}),
    "phonemes": (
        {"text": "\u00f0\u0259 l\u00e6mp b\u026a\u02c8sa\u026ad \u00f0\u0259 w\u026and\u0259\u028a"},
        {},
    ),
    "look_alike_letters": ({"text": rows.SENTENCE.replace("a", "\u0430", 1)}, {}),
    "stress_marks": (
        {"text": "Ла\u0301мпа у окна горит, и дождь наконец прекратился.", "language": "ru"},
        {},
    ),
    "normalised": ({"text": rows.SENTENCE.replace(" ", " \u200b", 1)}, {}),
    "channels_differ": ({}, {"num_channels": 1, "channel_likeness": 0.29}),
    "channels_cancel": ({}, {"channel_loss_db": 6.1}),
    "one_sided": ({}, {"channel_spread_db": 21.0, "loudest_channel": 1}),
    "integer_scale": ({}, {"full_scale": 32768.0}),
    "low_level": ({}, {"speech_dbfs": -35.1}),
    "offset": ({}, {"offset": -0.0081}),
    "hum": ({}, {"hum_share": 0.86, "floor_dbfs": -50.0}),
    "edge_silence": ({}, {"trailing_silence_s": 0.51, "duration_s": 3.5}),
    "channels": ({}, {"num_channels": 2}),
}
BESIDE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "empty_text": ({"text": "Yes, I will, and you will come along with all of us, too."}, {}),
    "boilerplate": ({"text": "Thanks, we were watching the rain for a day and a half!"}, {}),
    "control_characters": ({"text": rows.SENTENCE + "\n"}, {}),
    "long_text": ({"text": "word " * 100}, {"duration_s": 25.0}),
    "too_short": (
        {"text": "ab"},
        {"duration_s": 0.1, "leading_silence_s": 0.0, "trailing_silence_s": 0.0, "level_spread_db": None},
    ),
    "too_long": ({"text": "word " * 90}, {"duration_s": 30.0}),
    "nonfinite": ({}, {"num_nonfinite": 0}),
    "clipped": ({}, {"clipped_share": 0.001}),
    "wrong_script": ({"text": "Лампа означает lamp in Russian, and окно is the window."}, {}),
    "silent": ({}, {"silence_share": 0.53}),
    "band_limited": ({}, {"cutoff_hz": 6400.0}),
    "steady": ({}, {"level_spread_db": 6.0}),
    "declared_rate": ({"sample_rate_hz": None}, {}),
    "file_rate": ({"sample_rate_hz": 24000}, {"file_rate_hz": 24000}),
    "too_fast": ({}, {"duration_s": 1.9}),
    "too_slow": ({}, {"duration_s": 16.1}),
    "boilerplate_said": ({"text": "Thank you all."}, {"duration_s": 0.9, "level_spread_db": None}),
    "replacement_character": ({"text": "She painted the sm\u00e4ll door a bright yellow today."}, {}),
    "double_encoding": (
        {
            "text": "A\u00c7\u00c3O, \u201cCAF\u00c9\u201d, na\u00efve, \u00c2 l'\u00e2ge, M\u00e4dchen, \u00c4\u201c."
        },
        {},
    ),
    "markup": ({"text": "The speaker said: 3 < 4, a | b, and the lamp is on."}, {}),
    "phonemes": ({"text": "Haus\u0259 \u0257an birni, \u0259l\u0259, the API 2 AND A1 B2."}, {}),
    "look_alike_letters": ({"text": "The TNF\u03b1 at 10 k\u03a9 is \u0394x, as we all know by now."}, {}),
    "stress_marks": (
        {"text": "Ёжик и её йод: ќе, ѝ, ї, ґ и с\u0301утра, дождь прекратился.", "language": "ru"},
        {},
    ),
    "normalised": ({"text": f"  {rows.SENTENCE} "}, {}),  # spaces alone are not worth a word
    "channels_differ": ({}, {"channel_likeness": 0.31}),
    "channels_cancel": ({}, {"channel_loss_db": 5.9}),
    "one_sided": ({}, {"channel_spread_db": 19.0, "loudest_channel": 1}),
    "integer_scale": ({}, {"full_scale": 1.0}),
    "low_level": ({}, {"speech_dbfs": -34.9}),
    "offset": ({}, {"offset": -0.0079}),
    "hum": ({}, {"hum_share": 0.99, "floor_dbfs": -70.0}),
    "edge_silence": ({}, {"trailing_silence_s": 0.5, "duration_s": 3.5}),
    "channels": ({}, {"num_channels": 1}),
}


@pytest.mark.parametrize("code", FAULTS)
def test_a_rule_fires_on_its_fault_alone(code: str) -> None:
    row, measure = FAULTS[code]
    assert codes(rows.clip(row=row, **measure)) == [code]


@pytest.mark.parametrize("code", BESIDE)
def test_a_rule_is_silent_just_beside_its_fault(code: str) -> None:
    row, measure = BESIDE[code]
    assert codes(rows.clip(row=row, **measure)) == []


@pytest.mark.parametrize("code", rules.UNUSABLE_AUDIO)
def test_audio_that_cannot_be_used_is_named_by_its_own_code_only(code: str) -> None:
    assert codes(MeasuredRow(rows.manifest_row(), rows.unmeasured(1, code))) == [code]


def test_every_rule_has_a_test_and_a_sentence() -> None:
    assert {rule.code for rule in rules.RULES if rule.judge} == {
        *FAULTS,
        *rules.UNUSABLE_AUDIO,
        "no_speech",
        "wrong_speed",
    }
    for rule in (*rules.RULES, *outliers.RULES, *repeats.RULES):
        assert rule.reason[0].isupper() and rule.reason.endswith(".")
        assert (rule.severity, rule.action) in (
            ("critical", "drop"),
            ("warning", "trim"),
            ("warning", "warn"),
        )


def test_a_clip_cannot_be_measured_for_another_reason_than_those_with_a_rule() -> None:
    import re
    from pathlib import Path

    folder = Path(rules.__file__).parents[2] / "audio"
    sources = "".join((folder / name).read_text() for name in ("waveform.py", "files.py", "containers.py"))
    raised = set(re.findall(r'(?:AudioProblem|return )\(\s*"([a-z_]{4,})"', sources)) | {"symlink"}
    assert raised <= set(rules.UNUSABLE_AUDIO) and len(raised) >= 10


def test_a_finding_shows_the_value_and_the_limit() -> None:
    (short,) = rules.judge(
        rows.clip(
            row={"text": "a"},
            duration_s=0.05,
            leading_silence_s=0.0,
            trailing_silence_s=0.0,
            level_spread_db=None,
        ),
        rows.limits(),
    )
    assert (short.value, short.threshold, short.action) == ("0.050 s", "at least 0.1", "drop")
    (phrase,) = rules.judge(
        rows.clip(row={"text": "Thanks for watching, and goodbye to all of you!"}), rows.limits()
    )
    assert phrase.value == "thanks for watching in 3.00 s, 16.8 characters/s"


def test_pace_is_measured_between_the_edge_silences() -> None:
    clip = rows.clip(duration_s=6.0, leading_silence_s=1.5, trailing_silence_s=1.5)
    assert clip.chars_per_s == pytest.approx(59 / 3.0)
    assert rows.clip(duration_s=2.0, leading_silence_s=2.0, trailing_silence_s=2.0).chars_per_s is None


# Text, language, and the slowest and fastest that it is read: characters for each second of speech, pauses and all.
READ: dict[str, tuple[str, str, float, float]] = {
    "Chinese": ("zh", "窗边的灯亮着，雨已经停了，街上一个人也没有。", 3.0, 8.0),
    "Chinese with English": ("zh", "他在 Google 工作了三年，现在回到了上海。", 4.0, 10.0),
    "Japanese": ("ja", "窓のそばのランプがついていて、雨はもうやみました。", 4.5, 10.0),
    "Korean": ("ko", "창가의 등불이 켜져 있고 비는 이미 그쳤습니다.", 4.5, 10.0),
    "Amharic": ("am", "በመስኮቱ አጠገብ ያለው መብራት በርቷል፣ ዝናቡም ቆሟል።", 5.0, 12.0),
    "Arabic": ("ar", "المصباح بجانب النافذة مضاء، وقد توقف المطر منذ ساعة.", 6.5, 17.0),
    "Arabic with its vowels": ("ar", "المِصْبَاحُ بِجَانِبِ النَّافِذَةِ مُضَاءٌ، وَقَدْ تَوَقَّفَ المَطَرُ.", 10.0, 29.0),
    "Hebrew": ("he", "המנורה ליד החלון דולקת, והגשם כבר פסק מזמן.", 6.5, 17.0),
    "German": ("de", "Die Lampe neben dem Fenster brennt, und der Regen hat aufgehört.", 9.0, 24.0),
    "Russian": ("ru", "Лампа у окна горит, и дождь наконец прекратился совсем.", 9.0, 24.0),
    "Hindi": ("hi", "खिड़की के पास का दीपक जल रहा है और बारिश रुक चुकी है।", 9.0, 22.0),
    "Thai": ("th", "โคมไฟข้างหน้าต่างเปิดอยู่และฝนก็หยุดตกแล้ว", 9.0, 24.0),
}


@pytest.mark.parametrize("language", READ)
def test_a_text_in_any_script_may_be_read_slowly_and_fast(language: str) -> None:
    code, said, slow, fast = READ[language]
    for pace in (slow, fast):
        row = {"text": said, "language": code}
        assert codes(rows.clip(row=row, duration_s=len(said) / pace + 0.2)) == [], pace
    assert codes(rows.clip(row=row, duration_s=len(said) / (slow / 3.5) + 0.2)) == ["too_slow"]
    assert codes(rows.clip(row=row, duration_s=len(said) / (fast * 2.5) + 0.2)) == ["too_fast"]


def test_an_english_sentence_in_a_chinese_corpus_has_no_odd_pace() -> None:
    chinese = [
        (number, "窗边的灯亮着，雨已经停了。", 13 / (4.5 + number % 5 / 10)) for number in range(1, 41)
    ]
    clips = [
        rows.clip(number, row={"text": said, "language": "zh"}, duration_s=length_s + 0.2)
        for number, said, length_s in [*chinese, (41, rows.SENTENCE, len(rows.SENTENCE) / 15.0)]
    ]
    assert rows.outlying(clips) == []


def test_a_long_edge_is_trimmed_to_what_is_kept_and_the_old_and_new_bounds_are_recorded() -> None:
    clip = rows.clip(
        row={"start_s": 10.0, "end_s": 16.0},
        duration_s=6.0,
        trailing_silence_s=3.0,
        silence_share=0.53,
    )
    (trim,) = rules.judge(clip, rows.limits())
    assert (trim.rule, trim.action) == ("edge_silence", "trim")
    assert rules.trimmed(clip, rows.AUDIT) == (10.0, 13.2)
    assert trim.value == "0.10 s before and 3.00 s after; 10 to 16 s became 10 to 13.2 s"
    both = rows.clip(duration_s=9.0, leading_silence_s=3.0, trailing_silence_s=3.0)
    assert rules.trimmed(both, rows.AUDIT) == (2.8, 6.2)
    assert rules.trimmed(rows.clip(), rows.AUDIT) is None


def test_silence_at_the_edges_alone_does_not_make_a_clip_silent() -> None:
    speech = {"duration_s": 6.0, "leading_silence_s": 3.0, "trailing_silence_s": 0.1}
    assert codes(rows.clip(**speech, silence_share=0.6)) == ["edge_silence"]
    all_silent = {"duration_s": 6.0, "leading_silence_s": 6.0, "trailing_silence_s": 6.0}
    assert codes(rows.clip(**all_silent, silence_share=1.0)) == ["silent"]


@pytest.mark.parametrize(
    ("language", "said", "is_wrong"),
    [
        ("en", "Привет, как дела?", True),
        ("en-SG", "We ate laksa at the kopitiam.", False),
        ("ru", "The lamp is on.", True),
        ("ja", "東京タワーはきれいです。", False),
        ("ja", "Привет, как дела?", True),
        ("zh", "我们去 KTV 吧。", False),
        ("zh", "ラーメンがすきです。", True),
        ("ko", "오늘은 날씨가 좋아요.", False),
        ("fr", "Ça va très bien, cœur.", False),
        ("el", "Η λάμπα είναι αναμμένη.", False),
        ("uz", "Чироқ ёниб турибди.", False),  # written in both, as are these
        ("az-Cyrl", "Лампа јаныр.", False),
        ("kk", "Şam janyp tur.", False),
        ("bs", "Лампа гори.", False),
        ("pa", "بتی جگ رہی اے۔", False),
        ("tlh", "Привет", False),  # not in the table: not judged
        ("en", "1984, 2001", False),  # no letters: not judged
        ("en", "Ｆｕｌｌ ｗｉｄｔｈ letters", False),
    ],
)
def test_a_text_in_another_script_than_its_language_is_found(
    language: str, said: str, is_wrong: bool
) -> None:
    found = codes(rows.clip(row={"language": language, "text": said}, duration_s=2.0))
    assert ("wrong_script" in found) == is_wrong


# --- outliers --------------------------------------------------------------------------------------------------------


def paced(number: int, chars_per_s: float) -> MeasuredRow:
    """A clip of the plain sentence, 59 characters, said at that pace."""
    return rows.clip(number, duration_s=0.2 + 59 / chars_per_s)


def test_a_pace_far_from_the_rest_of_the_corpus_is_found_and_its_bad_rows_do_not_hide_it() -> None:
    usual = [paced(n, 16 + 0.1 * (n % 9)) for n in range(1, 41)]
    odd = [paced(n, 22.0) for n in range(41, 55)]  # a quarter of all rows
    found = rows.outlying([*usual, *odd])
    assert {one.clip_id for one in found} == {clip.row.clip_id for clip in odd}
    assert {one.rule for one in found} == {"odd_pace"}


def test_too_few_rows_say_nothing_about_what_is_usual() -> None:
    clips = [paced(n, 16.0) for n in range(1, 19)] + [paced(20, 27.0)]
    assert rows.outlying(clips) == []


def hearing(number: int, **heard: Any) -> MeasuredRow:
    known = records.Heard(
        f"c{number:04d}",
        **{
            "speech_s": 2.7,
            "cer": None,
            "is_aligned": None,
            "voice": None,
            "said": None,
            "speed": None,
            **heard,
        },
    )
    return replace(rows.clip(number), heard=known)


def test_sound_without_speech_is_found() -> None:
    assert codes(hearing(1, speech_s=0.69)) == ["no_speech"]  # of 2.8 s of sound
    assert codes(hearing(1, speech_s=0.71)) == []
    assert codes(hearing(1, speech_s=0.69, speed=2.0)) == ["wrong_speed"]
    assert codes(hearing(1, speech_s=0.71, speed=2.0)) == []
    short = rows.clip(row={"text": "Yes, sir"}, duration_s=0.6, level_spread_db=None)
    assert (
        codes(replace(short, heard=hearing(1, speech_s=0.0).heard)) == []
    )  # too short for the model to tell


def spoken(number: int, cer: float, said: str | None = None) -> MeasuredRow:
    """A clip with a text of its own; it is heard as that text with some other words, unless it says something else."""
    own = " ".join(f"{word}{'aeiouy'[(number + at) % 6] * (number % 5 + 1)}" for at, word in enumerate(WORDS))
    clip = hearing(number, cer=cer, said=own.replace("lamp", "limb") if said is None else said)
    length_s = 0.2 + len(own) / 16  # every text at the same pace
    return replace(
        rows.clip(number, row={"text": own.capitalize() + "."}, duration_s=length_s), heard=clip.heard
    )


WORDS = ("the", "lamp", "beside", "window", "is", "on", "rain", "has", "stopped")
ELSE = "nobody knew when a train would come"


def test_a_text_that_fits_no_better_than_other_rows_texts_is_wrong() -> None:
    usual = [spoken(n, 0.1 + 0.01 * (n % 7)) for n in range(1, 41)]
    found = rows.outlying([*usual, spoken(41, 0.7, ELSE), spoken(42, 1.0, "")])
    assert [(one.clip_id, one.rule, one.action) for one in found] == [
        ("c0041", "wrong_text", "drop"),
        ("c0042", "wrong_text", "drop"),
    ]
    assert found[0].value.startswith("70 % character errors, 11.4 deviations over 13 %; ")
    assert found[0].threshold == "at most 2 deviations or 0.05 of other texts"


def test_a_text_that_was_heard_badly_but_as_no_other_is_right() -> None:
    usual = [spoken(n, 0.1 + 0.01 * (n % 7)) for n in range(1, 41)]
    assert rows.outlying([*usual, spoken(41, 0.7)]) == []


def test_a_speaker_whom_the_recogniser_hardly_understands_is_not_dropped() -> None:
    poor = [spoken(n, 0.5 + 0.05 * (n % 7), ELSE) for n in range(1, 41)]
    assert rows.outlying([*poor, spoken(41, 0.9, ELSE)]) == []


def test_too_few_texts_say_nothing_about_chance() -> None:
    same = [replace(spoken(1, 0.1), row=rows.manifest_row(n, text="The lamp is on.")) for n in range(1, 41)]
    assert "wrong_text" not in {one.rule for one in rows.outlying([*same, spoken(41, 0.9, ELSE)])}


def test_a_text_that_does_not_reach_the_end_is_reported() -> None:
    (found,) = rows.outlying([hearing(1, is_aligned=False), hearing(2, is_aligned=True)])
    assert (found.clip_id, found.rule, found.action) == ("c0001", "not_aligned", "warn")


def test_a_quarter_of_strangers_among_a_speakers_clips_is_found() -> None:
    draw = np.random.default_rng(2)
    own, other = draw.standard_normal(256), draw.standard_normal(256)

    def voiced(number: int, voice: Any) -> MeasuredRow:
        made = voice / np.linalg.norm(voice) + 0.02 * draw.standard_normal(256)
        made = made / np.linalg.norm(made)
        return hearing(number, voice=base64.b64encode(made.astype("<f2").tobytes()).decode())

    clips = [voiced(n, own) for n in range(1, 46)] + [voiced(n, other + own) for n in range(46, 61)]
    found = rows.outlying(clips)
    assert {one.clip_id for one in found} == {f"c{n:04d}" for n in range(46, 61)}
    assert {one.rule for one in found} == {"wrong_speaker"}
    assert rows.outlying(clips[:19]) == []


# --- repeats ---------------------------------------------------------------------------------------------------------


def judged(clips: list[MeasuredRow], dropped: Collection[str] = ()) -> list[Finding]:
    return repeats.judge(clips, dropped, rows.AUDIT, rows.alike(clips, dropped))


def repeated(clips: list[MeasuredRow], dropped: set[str] = frozenset()) -> dict[str, list[str]]:  # type: ignore[assignment]
    found: dict[str, list[str]] = {}
    for finding in judged(clips, dropped):
        assert isinstance(finding, Finding)
        if (
            finding.rule == "repeated_text"
        ):  # the rows of these tests all say the same; it has tests of its own
            continue
        found.setdefault(finding.clip_id, []).append(finding.rule)
    return found


def same_samples(number: int, **row: Any) -> MeasuredRow:
    return rows.clip(number, row=row, samples_sha256="a" * 64)


def test_of_exact_copies_the_first_in_the_manifest_is_kept() -> None:
    clips = [same_samples(3), same_samples(1), same_samples(2), rows.clip(4)]
    assert repeated(clips) == {"c0002": ["exact_duplicate"], "c0003": ["exact_duplicate"]}


def test_a_bad_row_never_pushes_out_a_good_one() -> None:
    clips = [same_samples(1, text=""), same_samples(2), same_samples(3)]
    assert repeated(clips, {"c0001"}) == {"c0001": ["exact_duplicate"], "c0003": ["exact_duplicate"]}


def test_the_same_audio_with_two_texts_goes_altogether() -> None:
    clips = [same_samples(1), same_samples(2, text="Something else entirely was said here, was it not?")]
    assert repeated(clips) == {
        "c0001": ["conflicting_text"],
        "c0002": ["conflicting_text", "exact_duplicate"],
    }


def test_the_same_audio_with_one_text_in_two_spellings_is_a_copy() -> None:
    clips = [same_samples(1), same_samples(2, text=rows.SENTENCE.lower().replace(",", ""))]
    assert repeated(clips) == {"c0002": ["exact_duplicate"]}


def test_clips_that_could_not_be_measured_are_no_copies_of_each_other() -> None:
    clips = [MeasuredRow(rows.manifest_row(n), rows.unmeasured(n, "missing")) for n in (1, 2)]
    assert repeated(clips) == {}


def cut(number: int, start_s: float, duration_s: float = 3.0, file: str = "f") -> MeasuredRow:
    row = {"start_s": start_s, "end_s": start_s + duration_s, "audio_sha256": file}
    return rows.clip(number, row=row, duration_s=duration_s)


def test_of_overlapping_cuts_the_first_in_the_manifest_is_kept() -> None:
    assert repeated([cut(2, 1.0), cut(1, 0.0), cut(3, 3.2)]) == {"c0002": ["overlap"]}


def test_the_share_of_the_shorter_cut_decides() -> None:
    assert repeated([cut(1, 0.0), cut(2, 2.41)]) == {}
    assert repeated([cut(1, 0.0), cut(2, 2.39)]) == {"c0002": ["overlap"]}
    assert repeated([cut(1, 0.0, 30.0), cut(2, 29.0, 2.0)]) == {"c0002": ["overlap"]}


def test_cuts_of_other_files_do_not_overlap() -> None:
    assert repeated([cut(1, 0.0), cut(2, 0.5, file="g")]) == {}


def test_a_file_used_whole_overlaps_every_cut_of_it() -> None:
    whole = rows.clip(2, row={"audio_sha256": "f"}, duration_s=20.0)
    assert repeated([cut(1, 5.0), whole]) == {"c0002": ["overlap"]}


def test_a_dropped_cut_does_not_push_out_what_it_overlaps() -> None:
    assert repeated([cut(1, 0.0), cut(2, 0.5)], {"c0001"}) == {"c0001": ["overlap"]}


def test_a_chain_of_overlaps_loses_every_other_cut_only() -> None:
    chain = [cut(n, 2.0 * n) for n in range(1, 6)]
    assert set(repeated(chain)) == {"c0002", "c0004"}


def test_overlaps_are_found_as_a_plain_double_loop_finds_them() -> None:
    import random

    draw = random.Random(3)
    for _ in range(40):
        clips = [cut(n, round(draw.uniform(0, 20), 2), round(draw.uniform(0.2, 6), 2)) for n in range(1, 15)]
        taken: list[tuple[float, float]] = []
        expected = set()
        for clip in clips:
            start, length = clip.row.start_s or 0.0, clip.measure.duration_s or 0.0
            shares = [(min(e, start + length) - max(s, start)) / min(length, e - s) for s, e in taken]
            if any(share >= 0.2 for share in shares):
                expected.add(clip.row.clip_id)
            else:
                taken.append((start, start + length))
        assert set(repeated(clips)) == expected


def test_an_id_given_twice_is_reported_and_nothing_is_dropped() -> None:
    clips = [
        rows.clip(n, row={"user_id": "x" if n < 3 else "y", "text": f"Sentence {n} of three is said here."})
        for n in (1, 2, 3)
    ]
    found = judged(clips)
    assert [(one.clip_id, one.rule, one.action, one.value) for one in found] == [
        ("c0002", "duplicate_id", "warn", "id of line 1, too")
    ]


def test_rows_without_an_id_do_not_share_one() -> None:
    assert repeated([rows.clip(1, row={"user_id": None}), rows.clip(2, row={"user_id": None})]) == {}


def test_the_same_words_in_other_audio_are_reported_once_and_nothing_is_dropped() -> None:
    clips = [
        rows.clip(1),
        rows.clip(2, row={"text": rows.SENTENCE.upper()}),
        rows.clip(3, row={"text": "Rain."}),
    ]
    found = judged(clips)
    assert [(one.clip_id, one.rule, one.action, one.value) for one in found] == [
        ("c0002", "repeated_text", "warn", "as line 1")
    ]
    assert judged(clips, {"c0001"}) == []
    assert judged([rows.clip(1, row={"text": "..."}), rows.clip(2, row={"text": ""})]) == []


@pytest.mark.parametrize(
    ("name", "is_found"), [("a.wav", True), ("a.flac", True), ("a.ogg", False), ("a.OGA", False)]
)
def test_what_a_codec_leaves_out_of_one_clip_is_no_lower_rate(name: str, is_found: bool) -> None:
    for cutoff_hz, expected in ((6800.0, is_found), (3900.0, True)):
        clip = rows.clip(row={"audio": name}, cutoff_hz=cutoff_hz, file_rate_hz=22_050)
        assert ("band_limited" in codes(clip)) == expected
