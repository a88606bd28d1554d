"""What real people's recordings look like: quiet microphones, noisy rooms, interviews on two channels, short words, numbers."""

import io
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.factories import audio as sounds
from tests.factories import rows
from voicelathe.data.audio import waveform
from voicelathe.data.audit import clean, players, report
from voicelathe.data.audit.clean import AuditResult
from voicelathe.data.audit.rules import MeasuredRow
from voicelathe.data.measures import measure
from voicelathe.data.text import languages, normaliser
from voicelathe.records import ClipMeasure, Heard, ManifestRow

RATE_HZ = sounds.RATE_HZ


def measured(samples: sounds.Samples) -> ClipMeasure:
    frames = samples[:, None] if samples.ndim == 1 else samples
    return measure.of_samples("c0001", frames.astype(np.float32), RATE_HZ, rows.MEASURE)


def audited(
    known: list[ManifestRow], measures: list[ClipMeasure], heard: list[Heard] | tuple[()] = ()
) -> AuditResult:
    return clean.audit(known, [], measures, rows.AUDIT, rows.PHRASES, heard)


def in_room(floor_dbfs: float, before_s: float = 0.8, after_s: float = 1.3) -> sounds.Samples:
    silence = [sounds.silence(before_s), sounds.speech(2.0), sounds.silence(after_s)]
    made = np.concatenate(silence)
    return made + sounds.noise(len(made) / RATE_HZ, 5, 10 ** (floor_dbfs / 20))


# --- silence and level -----------------------------------------------------------------------------------------------


def test_the_soft_beginning_of_a_quiet_recording_is_no_silence() -> None:
    soft, loud = sounds.speech(2.0) * np.float32(0.003), sounds.speech(2.0, 1) * np.float32(0.05)
    found = measured(np.concatenate([soft, loud]))
    assert found.leading_silence_s is not None and found.leading_silence_s < 0.3
    quiet = audited([rows.manifest_row(1)], [replace(found, clip_id="c0001")])
    assert "low_level" in [one.rule for one in quiet.findings] and len(quiet.kept) == 1


@pytest.mark.parametrize("what", ["noise", "hum", "offset"])
def test_the_edges_of_a_clip_are_found_above_its_own_floor(what: str) -> None:
    made = in_room(-44.0 if what == "noise" else -75.0)
    at = np.arange(len(made)) / RATE_HZ
    made = made + np.float32(0.01) * (np.sin(2 * np.pi * 50 * at) if what == "hum" else 0.0)
    made = made + np.float32(0.01 if what == "offset" else 0.0)
    found = measured(made.astype(np.float32))
    assert found.leading_silence_s == pytest.approx(0.8, abs=0.1)
    assert found.trailing_silence_s == pytest.approx(1.3, abs=0.2)
    limits = replace(rows.AUDIT, min_band_share=0.0)  # the sounds of these tests have no treble
    row = rows.manifest_row(1, text="The lamp beside the window is on.")
    rules = [one.rule for one in clean.audit([row], [], [found], limits, rows.PHRASES).findings]
    assert "edge_silence" in rules and (what == "noise") != (what in rules)


def test_an_edge_that_a_voice_activity_detector_calls_speech_is_not_cut_off() -> None:
    long = rows.measured(1, duration_s=5.0, trailing_silence_s=2.0)
    (clip,) = audited([rows.manifest_row(1)], [long]).clean
    assert clip.end_s == pytest.approx(3.2)
    heard = Heard("c0001", 4.8, None, None, None, None, None)
    (clip,) = audited([rows.manifest_row(1)], [long], [heard]).clean
    assert clip.end_s == 5.0


def test_offset_and_level_are_corrected_when_audio_is_read_and_recorded(tmp_path: Path) -> None:
    quiet = sounds.speech(2.0) * np.float32(0.01) + np.float32(0.02)
    path = sounds.write(tmp_path / "rec_01.wav", quiet, subtype="FLOAT")
    found = measured(quiet)
    (clip,) = audited(
        [rows.manifest_row(1, audio_sha256=waveform.files.hash_file(tmp_path, path.name))], [found]
    ).clean
    assert clip.offset == pytest.approx(0.02, abs=1e-3) and clip.gain_db > 20
    read = waveform.read_mono(tmp_path, clip, RATE_HZ)
    assert abs(float(read.mean())) < 0.01 and np.abs(read).max() <= 1.0
    assert np.abs(read).max() > 5 * np.abs(quiet - 0.02).max()


def test_without_correction_audio_is_read_as_it_is() -> None:
    as_it_is = replace(rows.AUDIT, correct=False)
    low = rows.measured(1, speech_dbfs=-50.0, offset=0.02)
    found = clean.audit([rows.manifest_row(1)], [], [low], as_it_is, rows.PHRASES)
    assert (found.clean[0].offset, found.clean[0].gain_db) == (0.0, 0.0)


# --- channels --------------------------------------------------------------------------------------------------------


def interview() -> sounds.Samples:
    """Two people who take turns, each on a channel."""
    one, other = sounds.speech(4.0, 1), sounds.speech(4.0, 5)
    one[2 * RATE_HZ :], other[: 2 * RATE_HZ] = one[2 * RATE_HZ :] * 0.01, other[: 2 * RATE_HZ] * 0.01
    return np.stack([one + sounds.noise(4.0, 7, 1e-3), other + sounds.noise(4.0, 8, 1e-3)], axis=1)


def test_a_row_that_names_its_channel_is_that_channel_from_measure_to_training(tmp_path: Path) -> None:
    both = interview()
    path = sounds.write(tmp_path / "rec_01.wav", both)
    sha256 = waveform.files.hash_file(tmp_path, path.name)
    text = {"audio": path.name, "audio_sha256": sha256, "start_s": 0.0, "end_s": 4.0}
    known = [rows.manifest_row(n, channel=n - 1, speaker_id=f"s{n}", **text) for n in (1, 2)]
    known[1] = replace(known[1], text=rows.SENTENCE + " Yes.")
    measures = measure.measure(known, tmp_path, rows.MEASURE, rows.SERIAL)
    assert measures[0].num_channels == 1 and measures[0].samples_sha256 != measures[1].samples_sha256
    found = audited(known, measures)
    assert [
        one.rule for one in found.findings if one.rule in ("overlap", "channels", "channels_differ")
    ] == []
    assert [clip.channel for clip in found.clean] == [0, 1]
    for clip in found.clean:
        assert clip.channel is not None
        start = round(clip.start_s * RATE_HZ)
        wanted = both[start : start + 16000, clip.channel]
        assert np.allclose(waveform.read_mono(tmp_path, clip, RATE_HZ)[:16000], wanted, atol=1e-3)


def test_the_report_plays_the_channel_that_a_row_names(tmp_path: Path) -> None:
    path = sounds.write(tmp_path / "rec_01.wav", interview())
    sha256 = waveform.files.hash_file(tmp_path, path.name)
    text = {"audio": path.name, "audio_sha256": sha256, "start_s": 0.0, "end_s": 2.0}
    known = [rows.manifest_row(n, channel=n - 1, **text) for n in (1, 2)]
    measures = measure.measure(known, tmp_path, rows.MEASURE, rows.SERIAL)
    heard = players.sounds(starmap(MeasuredRow, zip(known, measures, strict=True)), tmp_path)
    loud = [np.abs(soundfile.read(io.BytesIO(heard[row.clip_id]))[0]).max() for row in known]
    assert loud[1] < 0.1 * loud[0], "the second speaker is silent for two seconds"


def test_two_people_on_two_channels_are_dropped_where_nobody_says_which(tmp_path: Path) -> None:
    apart, same = (
        measured(interview()),
        measured(np.stack([sounds.speech(3.0), 0.5 * sounds.speech(3.0)], axis=1)),
    )
    assert apart.channel_likeness is not None and apart.channel_likeness < 0.3
    assert same.channel_likeness is not None and same.channel_likeness > 0.8
    rules = [one.rule for one in audited([rows.manifest_row(1)], [apart]).findings]
    assert "channels_differ" in rules


def test_channels_that_cancel_and_an_empty_channel_are_named() -> None:
    one = sounds.speech(3.0) + sounds.noise(3.0, 7, 1e-3)
    assert (measured(np.stack([one, -one], axis=1)).channel_loss_db or 0.0) > 60
    empty = measured(np.stack([one * 0.001, one], axis=1))
    (clip,) = audited([rows.manifest_row(1)], [empty]).clean
    assert empty.loudest_channel == clip.channel == 1


def test_a_channel_that_the_file_does_not_have_is_named(tmp_path: Path) -> None:
    sounds.write(tmp_path / "rec_01.wav", sounds.speech(1.0))
    row = rows.manifest_row(1, channel=1, audio_sha256=waveform.files.hash_file(tmp_path, "rec_01.wav"))
    (found,) = measure.measure([row], tmp_path, rows.MEASURE, rows.SERIAL)
    assert (found.problem, found.detail) == ("no_channel", "channel 1, counted from 0, of 1")


# --- pace, words and voice of short clips ----------------------------------------------------------------------------


def reading(number: int, text: str, seconds: float, **row: Any) -> tuple[ManifestRow, ClipMeasure]:
    spread = None if seconds < 0.5 else 30.0
    made = rows.measured(number, duration_s=seconds + 0.2, level_spread_db=spread)
    return rows.manifest_row(number, text=text, **row), made


def corpus(*more: tuple[str, float]) -> AuditResult:
    """A slow speaker: half a second for a word, and a letter every 90 ms; then some other rows."""
    texts = [("x" * (number % 9 + 3) + " ") * (1 + number % 7) for number in range(60)]
    spoken = [
        (text.strip(), 0.5 + 0.09 * len(text) * (0.9 + 0.02 * (at % 11))) for at, text in enumerate(texts)
    ]
    known, measures = zip(*(reading(at + 1, *one) for at, one in enumerate([*spoken, *more])), strict=True)
    return audited(list(known), list(measures))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("siete", 0.9),
        ("c", 0.58),
        ("folder 7", 1.1),
        ("It costs $12.50.", 3.1),
        ("Born 12/05/1964.", 4.0),
        ("mil", 0.7),
        ("M I S D N", 2.4),
        ("mgcp", 1.9),
    ],
)
def test_a_short_or_spelled_text_is_not_too_slow(text: str, seconds: float) -> None:
    assert [one for one in corpus((text, seconds)).findings if one.action == "drop"] == []


def test_half_and_double_speed_are_found_at_any_length() -> None:
    wrong = [
        ("seven words that somebody wrote down here", 9.5),
        ("seven words that somebody wrote down here", 1.7),
    ]
    found = corpus(*wrong, ("twenty", 3.4)).findings
    assert {one.clip_id for one in found if one.rule == "odd_pace"} == {"c0061", "c0062", "c0063"}


def heard(number: int, speech_s: float, **more: Any) -> Heard:
    nothing = {"cer": None, "is_aligned": None, "voice": None, "said": None, "speed": None}
    return Heard(f"c{number:04d}", speech_s, **{**nothing, **more})


def test_what_is_too_short_to_be_judged_is_not_dropped_and_the_page_says_so() -> None:
    known, measures = zip(*(reading(n, f"word {n}", 0.8) for n in range(1, 31)), strict=True)
    found = audited(
        list(known), list(measures), [heard(n, 0.0, cer=2.0, said="nothing like it") for n in range(1, 31)]
    )
    assert [one for one in found.findings if one.action == "drop"] == []
    judged = {one.code: one.sentence for one in found.coverage}
    assert judged["wrong_text"] == "0 of 30 rows: the text is too short, or holds digits (30)"
    assert judged["no_speech"] == "0 of 30 rows: under 1 s of sound (30)"
    page = report.render(found)
    assert "Every row was checked" not in page and "the text is too short, or holds digits (30)" in page
    assert clean.summary(found)["judged_wrong_text"] == 0


def test_thank_you_in_the_time_that_it_takes_is_kept_and_named() -> None:
    said = (
        reading(1, "Thank you.", 0.8),
        reading(2, "Thank you.", 4.0),
        reading(3, "Thanks for watching!", 1.2),
    )
    found = audited([row for row, _ in said], [one for _, one in said])
    assert [(one.clip_id, one.rule) for one in found.findings if "boilerplate" in one.rule] == [
        ("c0001", "boilerplate_said"),
        ("c0002", "boilerplate"),
        ("c0003", "boilerplate"),
    ]


# --- text and languages ----------------------------------------------------------------------------------------------


def test_what_is_trained_on_is_the_normalised_text_that_was_judged() -> None:
    row = rows.manifest_row(1, text="\ufeff The \ufb01rst o\ufb03cer &amp; the ba\u0308cker\\n came.")
    found = audited([row], [rows.measured(1)])
    assert found.clean[0].text == "The first officer & the b\u00e4cker came."
    assert [one.value for one in found.findings if one.rule == "normalised"] == [
        "HTML entities, \\n as two letters, invisible characters, ligatures and presentation forms, "
        "parts of letters put together (NFC), spaces"
    ]


@pytest.mark.parametrize(
    "text",
    ["a\u200cb", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "caf\u00e9\u00a0!", "&amp;amp;", "x  y"],
)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normaliser.text_of(text)
    assert normaliser.normalise(once) == (once, [])


def test_joiners_stay_where_a_script_needs_them() -> None:
    assert (
        normaliser.text_of("\u0645\u06cc\u200c\u062e") == "\u0645\u06cc\u200c\u062e"
        and normaliser.text_of("a\u200cb") == "ab"
    )


@pytest.mark.parametrize(
    "written",
    [
        "en",
        "EN",
        "English",
        "ENGLISH",
        "eng",
        "eng_Latn",
        "en ",
        "english",
        "<|en|>",
        "[EN]",
        '"en"',
        "lang:en",
    ],
)
def test_one_language_has_one_name(written: str) -> None:
    assert languages.canonical(written) == "en"


@pytest.mark.parametrize(
    ("written", "tag"),
    [
        *(
            ("en_us", "en-US"),
            ("zho_Hans", "zh-Hans"),
            ("pt-br", "pt-BR"),
            ("sr-latn", "sr-Latn"),
            ("tlh", "tlh"),
        ),
        *(
            ("Brazilian Portuguese", "pt-BR"),
            ("American English", "en-US"),
            ("english-us", "en-US"),
            ("en us", "en-US"),
        ),
        *(
            ("Simplified Chinese", "zh-Hans"),
            ("zh-yue", "yue"),
            ("粤语", "yue"),
            ("普通话", "zh"),
            ("francais", "fr"),
        ),
        *(("cz", "cs"), ("ua", "uk"), ("Bokmal", "nb"), ("Portuguese (Brazil)", "pt")),
    ],
)
def test_region_and_script_are_kept_and_what_is_unknown_stays(written: str, tag: str) -> None:
    assert languages.canonical(written) == tag
    assert languages.is_known(written) == (tag != "tlh")


def test_the_page_shows_the_alphabet_with_what_is_rare_and_names_unknown_languages() -> None:
    known = [
        rows.manifest_row(n, text=f"{rows.SENTENCE} {'abcde'[n % 5] * n}", language="en") for n in range(1, 9)
    ]
    known.append(
        rows.manifest_row(
            9, text="The caf\u00e9 is open, all of it, on each of the days.", language="klingon"
        )
    )
    page = report.render(audited(known, [rows.measured(n) for n in range(1, 10)]))
    assert "Latin small letter e with acute, 1" in page and "not known by any name: klingon" in page


def test_the_page_claims_no_more_than_was_looked_at() -> None:
    known = [rows.manifest_row(number) for number in (1, 2)]
    broken = rows.measured(2, problem="unreadable", duration_s=None)
    page = report.render(audited(known, [rows.measured(1), broken]))
    assert "Every line is a row, the audio of 1 was measured;" in page
    assert "rules could not judge all of them, and say why below" in page
    assert "no audio (1)" in page and "Every row was" not in page


def test_of_six_channels_the_only_one_with_sound_is_used_and_nothing_cancels() -> None:
    speech = sounds.speech(2.0)
    six = np.stack([speech if at == 2 else 0 * speech for at in range(6)], 1)
    found = audited([rows.manifest_row(1)], [measured(six)])
    said = {one.rule for one in found.findings}
    assert "one_sided" in said and "channels_cancel" not in said
    opposite = np.stack([speech, -speech], 1)
    assert "channels_cancel" in {
        one.rule for one in audited([rows.manifest_row(1)], [measured(opposite)]).findings
    }


@pytest.mark.parametrize(("seconds", "is_odd"), [(0.8, False), (3.5, True)])
def test_a_lone_word_among_sentences_of_one_length_may_take_its_time(seconds: float, is_odd: bool) -> None:
    known = [
        rows.manifest_row(n, text=f"{rows.SENTENCE[:50]} {'abcde'[n % 5] * (n % 7 + 1)}")
        for n in range(1, 41)
    ]
    measures = [rows.measured(n, duration_s=3.0 + 0.01 * (n % 9)) for n in range(1, 41)]
    known.append(rows.manifest_row(41, text="Lamp."))
    measures.append(rows.measured(41, duration_s=seconds, leading_silence_s=0.0, trailing_silence_s=0.0))
    found = audited(known, measures)
    assert any(one.rule == "odd_pace" and one.clip_id == "c0041" for one in found.findings) is is_odd
