"""Subtitles and transcripts as people have them: every format, every way to be broken, and nothing dropped without a word."""

import json
import random
from pathlib import Path

import pytest

from voicelathe.data.cutting import cues
from voicelathe.errors import SubtitleError

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello there.\n\n2\n00:00:03,000 --> 00:00:04,000\nSecond line,\nstill the second.\n"
LONG_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 4
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "speech"
        xmin = 0
        xmax = 4
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 1
            text = ""
        intervals [2]:
            xmin = 1
            xmax = 2.5
            text = "She said ""hello""."
        intervals [3]:
            xmin = 2.5
            xmax = 4
            text = "Second."
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 4
        points: size = 1
        points [1]:
            number = 0.5
            mark = "x"
"""
SHORT_GRID = (
    '"ooTextFile"\n"TextGrid"\n0\n4\n<exists>\n1\n"IntervalTier"\n"s"\n0\n4\n2\n0\n1\n""\n1\n4\n"Hello."\n'
)


def read(tmp_path: Path, name: str, content: str | bytes, tier: str | None = None) -> cues.Parsed:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return cues.read(path, tier)


def told(found: cues.Parsed) -> list[tuple[float | None, float | None, str]]:
    return [(one.start_s, one.end_s, one.text) for one in found.cues]


HELLO = [(1.0, 2.5, "Hello there."), (3.0, 4.0, "Second line, still the second.")]


@pytest.mark.parametrize(
    "content",
    [
        SRT,
        SRT.replace("\n", "\r\n"),
        "\ufeff" + SRT,
        SRT.replace("\n\n2\n", "\n\n"),  # a number is missing
        SRT.replace(",000", ".000").replace("-->", "->"),
        SRT.replace("00:00:0", "0:0"),
        SRT.encode("utf-16"),
        "\n\n\n" + SRT.replace("\n\n2", "\n\n\n\n2"),
        SRT.replace("Hello there.", "<i>Hello</i> {\\an8}<font color='red'>there.</font>"),
    ],
    ids=["plain", "crlf", "bom", "no number", "dots", "short times", "utf-16", "blank lines", "markup"],
)
def test_subrip_is_read_however_it_was_saved(tmp_path: Path, content: str | bytes) -> None:
    assert told(read(tmp_path, "a.srt", content)) == HELLO


def test_webvtt_with_names_notes_styles_and_settings(tmp_path: Path) -> None:
    vtt = (
        "WEBVTT - a title\n\nSTYLE\n::cue { color: red }\n\nNOTE 00:01 --> 00:02 is a remark\n\nintro\n00:01.000 --> 00:02.500 align:start\n"
        "<v Anna>Hello &amp; <c.yellow>welcome</c>.</v>\n\n00:03.000 --> 00:04.000\n<v Ben>Yes.\n\nNOTE the end\nof it\n"
    )
    found = read(tmp_path, "a.vtt", vtt)
    assert told(found) == [(1.0, 2.5, "Hello & welcome."), (3.0, 4.0, "Yes.")]
    assert [one.speaker for one in found.cues] == ["Anna", "Ben"] and found.problems == []


def test_textgrids_long_and_short_and_which_tier(tmp_path: Path) -> None:
    assert told(read(tmp_path, "a.TextGrid", LONG_GRID)) == [
        (1.0, 2.5, 'She said "hello".'),
        (2.5, 4.0, "Second."),
    ]
    short = 'File type = "ooTextFile"\nObject class = "TextGrid"\n' + SHORT_GRID.split("\n", 2)[2]
    assert told(read(tmp_path, "b.TextGrid", short)) == [(1.0, 4.0, "Hello.")]
    two = (
        short.replace('\n1\n"IntervalTier"', '\n2\n"IntervalTier"')
        + '"IntervalTier"\n"phones"\n0\n4\n1\n0\n4\n"h"\n'
    )
    with pytest.raises(SubtitleError, match=r"'s', 'phones'.*--tier NAME"):
        read(tmp_path, "c.TextGrid", two)
    assert told(read(tmp_path, "c.TextGrid", two, "phones")) == [(0.0, 4.0, "h")]
    with pytest.raises(SubtitleError, match="breaks off"):
        read(tmp_path, "d.TextGrid", LONG_GRID[:400])


def test_audacity_labels_with_frequencies(tmp_path: Path) -> None:
    text = "1.000000\t2.500000\tHello there.\n\\\t100.0\t200.0\n3.0\t4.0\tSecond.\n"
    assert told(read(tmp_path, "a.txt", text)) == [(1.0, 2.5, "Hello there."), (3.0, 4.0, "Second.")]


@pytest.mark.parametrize(
    "value",
    [
        {"text": "x", "segments": [{"start": 1, "end": 2.5, "text": " Hello.", "speaker": "A", "words": []}]},
        {"transcription": [{"offsets": {"from": 1000, "to": 2500}, "text": " Hello."}]},
        {"chunks": [{"timestamp": [1.0, 2.5], "text": "Hello."}]},
        [{"start": 1.0, "end": 2.5, "text": "Hello."}],
    ],
    ids=["whisper", "whisper.cpp", "transformers", "list"],
)
def test_json_of_whisper_and_its_relatives(tmp_path: Path, value: object) -> None:
    assert told(read(tmp_path, "a.json", json.dumps(value))) == [(1.0, 2.5, "Hello.")]


def test_a_plain_transcript_is_cut_at_the_ends_of_its_sentences(tmp_path: Path) -> None:
    found = read(
        tmp_path, "a.txt", "First one. Is it\nthe second? “Yes.” Last\n\nA new paragraph without an end\n"
    )
    assert [one.text for one in found.cues] == [
        "First one.", "Is it the second?", "“Yes.”", "Last", "A new paragraph without an end",
    ]  # fmt: skip
    assert not found.is_timed


def test_subtitles_in_a_file_called_txt_are_seen_for_what_they_are(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", SRT)
    assert told(found) == HELLO and "holds srt" in found.notes[0]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ("00:00:05,000 --> 00:00:04,000", "not after its start"),
        ("-00:00:05,000 --> 00:00:06,000", "no time in a recording"),
        ("00:00:5x,000 --> 00:00:06,000", "not a pair of times"),
        ("9999:00:05,000 --> 9999:00:06,000", "no time in a recording"),
    ],
    ids=["backwards", "negative", "garbled", "years"],
)
def test_a_cue_with_wrong_times_is_named_by_its_line_and_the_others_stay(
    tmp_path: Path, times: str, said: str
) -> None:
    found = read(tmp_path, "a.srt", SRT + f"\n3\n{times}\nBroken.\n")
    assert told(found)[:1] == HELLO[:1] and "Broken." not in [one.text for one in found.cues]
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path / 'a.srt'}:11: ") and said in problem


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-1", '"1"', "null", "true", "1e999"])
def test_a_time_that_is_no_number_is_named(tmp_path: Path, bad: str) -> None:
    good = ', {"start": 2, "end": 3, "text": "Good."}' * 2
    found = read(tmp_path, "a.json", f'[{{"start": {bad}, "end": 2, "text": "Bad."}}{good}]')
    assert [one.text for one in found.cues] == ["Good.", "Good."] and len(found.problems) == 1
    labels = read(tmp_path, "b.txt", "nan\t2\tBad.\n1\t2\tGood.\n3\t4\tGood.\n")
    assert len(labels.cues) == 2 and "no number" in labels.problems[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.srt", ""),
        ("a.srt", "   \n\n"),
        ("a.srt", b"\x00\x01\x02"),
        ("a.srt", b"\x81\x8d\x8f\x90"),
        ("a.srt", "no arrows at all"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n[music]\n"),
        ("a.vtt", "WEBVTT\n"),
        ("a.json", "{"),
        ("a.json", "[" * 100_000),
        ("a.json", '{"other": 1}'),
        ("a.TextGrid", "File type"),
        ("a.txt", "\ufeff"),
        ("a.srt", "1\nxx --> yy\nA\n\n2\nxx --> yy\nB\n\n3\n00:00:01,000 --> 00:00:02,000\nC\n"),
    ],
)
def test_a_file_that_says_nothing_usable_is_refused_with_a_remedy(
    tmp_path: Path, name: str, content: str | bytes
) -> None:
    with pytest.raises(SubtitleError, match=r"a\.\w+"):
        read(tmp_path, name, content)
    with pytest.raises(SubtitleError, match="no such file"):
        cues.read(tmp_path / "missing.srt")


def test_cp1252_is_read_and_said(tmp_path: Path) -> None:
    found = read(tmp_path, "a.srt", SRT.replace("Hello", "Ça été").encode("cp1252"))
    assert found.cues[0].text == "Ça été there." and "cp1252" in found.notes[0]


def test_overlapping_cues_are_known_and_sorted(tmp_path: Path) -> None:
    labels = "3\t5\tThird.\n1\t2\tFirst.\n4\t6\tFourth.\n"
    found = read(tmp_path, "a.txt", labels)
    assert [one.text for one in found.cues] == ["First.", "Third.", "Fourth."] and found.overlapping == {1, 3}
    assert any("sorted" in note for note in found.notes) and any("overlap" in note for note in found.notes)


def test_rolling_captions_are_said_once(tmp_path: Path) -> None:
    rolling = "WEBVTT\n\n" + "".join(
        f"00:0{n}.000 --> 00:0{n + 1}.000\n{before}\n{line}\n\n"
        for n, (before, line) in enumerate(
            [
                (" ", "one two"),
                ("one two", "three four"),
                ("three four", "five six"),
                ("five six", "seven eight"),
            ]
        )
    )
    found = read(tmp_path, "a.vtt", rolling)
    assert [one.text for one in found.cues] == ["one two", "three four", "five six", "seven eight"]
    plain = read(
        tmp_path,
        "b.vtt",
        "WEBVTT\n\n00:01.000 --> 00:02.000\nWell, well.\n\n00:02.000 --> 00:03.000\nWell, well.\n",
    )
    assert [one.text for one in plain.cues] == ["Well, well."] * 2, "an echo is no roll"


def test_what_nobody_speaks_is_left_out_and_counted(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "a.srt",
        SRT + "\n3\n00:00:05,000 --> 00:00:06,000\n♪ la la ♪\n\n4\n00:00:07,000 --> 00:00:08,000\n(laughs)\n",
    )
    assert told(found) == HELLO and "2 cues say nothing" in found.notes[0]


def test_a_number_that_somebody_says_is_text(tmp_path: Path) -> None:
    text = "00:00:01,000 --> 00:00:02,000\nIt was\n1984\n\n00:00:03,000 --> 00:00:04,000\nThen.\n"
    assert told(read(tmp_path, "a.srt", text)) == [(1.0, 2.0, "It was 1984"), (3.0, 4.0, "Then.")]
    glued = "1\n00:00:01,000 --> 00:00:02,000\nIt was.\n2\n00:00:03,000 --> 00:00:04,000\nThen.\n"
    assert [one.text for one in read(tmp_path, "b.srt", glued).cues] == ["It was.", "Then."]


def test_an_arrow_in_the_text_is_text_and_spoiled_times_are_named(tmp_path: Path) -> None:
    text = SRT.replace("Hello there.", "Press A -> B, then -> C.")
    assert read(tmp_path, "a.srt", text).cues[0].text == "Press A -> B, then -> C."
    spoiled = SRT + "\n3\n00:00:05 --> \nLost.\n"
    assert "not a pair of times" in read(tmp_path, "b.srt", spoiled).problems[0]


SEEDS = {
    "a.srt": SRT,
    "a.vtt": "WEBVTT\n\nNOTE x\n\n00:01.000 --> 00:02.500\n<v Anna>Hello &amp; you</v>\n",
    "a.TextGrid": LONG_GRID,
    "a.txt": "1.0\t2.5\tHello.\n\\\t100\t200\n3.0\t4.0\tSecond.\n",
    "a.json": json.dumps({"segments": [{"start": 1, "end": 2.5, "text": "Hello."}, {"start": 3, "end": 4.5, "text": "Again."}]}),
    "b.txt": "One. Two! Three?",
}  # fmt: skip


@pytest.mark.parametrize("name", SEEDS)
def test_mutants_of_every_format_are_read_or_refused_and_never_crash(tmp_path: Path, name: str) -> None:
    draw = random.Random(name)
    scraps = [
        b"-->",
        b"\x00",
        b"\xff\xfe",
        b'"',
        b"\n\n",
        b"NaN",
        b"-1",
        b"1e999",
        b"<v",
        b"\xf0\x9f",
        b"999999999999",
        b"{",
        b"]",
        b"\t",
    ]
    num_read = 0
    for _ in range(300):
        data = bytearray(SEEDS[name].encode())
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(data) + 1)
            match draw.randrange(4):
                case 0:
                    data[at:at] = draw.choice(scraps)
                case 1:
                    del data[at : at + draw.randint(1, 30)]
                case 2:
                    data[at : at + 1] = bytes([draw.randrange(256)])
                case _:
                    data[at:at] = data[: draw.randint(1, 60)]
        try:
            found = read(tmp_path, name, bytes(data))
        except SubtitleError as problem:
            assert name in str(problem)
            continue
        num_read += 1
        times = [(one.start_s, one.end_s) for one in found.cues]
        assert all(a is None or b is None or (0 <= a < b <= cues.MAX_S) for a, b in times)
        assert all(one.text.strip() for one in found.cues)
        starts = [a for a, _ in times if a is not None]
        assert starts == sorted(starts) and len(starts) in (0, len(times))
    assert 20 < num_read < 300 or name == "b.txt"


def test_half_a_character_is_named(tmp_path: Path) -> None:
    segments = [
        {"start": at, "end": at + 1, "text": text} for at, text in enumerate(["A.", "B \ud83d", "C."])
    ]
    found = read(tmp_path, "a.json", json.dumps(segments))
    assert [one.text for one in found.cues] == ["A.", "C."] and "lone surrogate" in found.problems[0]
    speaker = [{"start": 1, "end": 2, "text": "A.", "speaker": "\ud83d"}]
    assert read(tmp_path, "b.json", json.dumps(speaker)).cues[0].speaker is None


# --- texts that are no plain text ------------------------------------------------------------------------------------

TWO = [(1.0, 2.5, "Hello there."), (3.0, 4.0, "And again, here.")]
TIMED = {
    "labels with commas": ("a.txt", "1,000000\t2,500000\tHello there.\n3,0\t4,0\tAnd again, here.\n"),
    "SubStation Alpha": (
        "a.ass",
        "[Script Info]\nTitle: x\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        "Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,Not said.\n"
        "Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\i1}Hello{\\i0} there.\n"
        "Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,And again,\\Nhere.\n",
    ),
    "YouTube's SBV": (
        "a.sbv",
        "0:00:01.000,0:00:02.500\nHello there.\n\n0:00:03.000,0:00:04.000\nAnd again,\nhere.\n",
    ),
    "Whisper's TSV": ("a.tsv", "start\tend\ttext\n1000\t2500\tHello there.\n3000\t4000\tAnd again, here.\n"),
    "arrows of a word processor": (
        "a.srt",
        "1\n00:00:01,000 –> 00:00:02,500\nHello there.\n\n2\n00:00:03,000 → 00:00:04,000\nAnd again, here.\n",
    ),
}


@pytest.mark.parametrize("what", TIMED)
@pytest.mark.parametrize("is_plain_name", [False, True])
def test_a_text_with_times_is_read_with_its_times_whatever_its_name(
    tmp_path: Path, what: str, is_plain_name: bool
) -> None:
    name, content = TIMED[what]
    assert told(read(tmp_path, "a.txt" if is_plain_name else name, content)) == TWO


UNREAD = {
    "XML": ("a.ttml", '<?xml version="1.0"?><tt><body><p begin="1s" end="2s">Hello.</p></body></tt>'),
    "ELAN": ("a.eaf", '<?xml version="1.0"?>\n<ANNOTATION_DOCUMENT>\n</ANNOTATION_DOCUMENT>\n'),
    "HTML": ("a.txt", "<!DOCTYPE html>\n<html><body>Hello.</body></html>"),
    "RTF": ("a.txt", "{\\rtf1\\ansi Hello.}"),
    "LRC": ("a.lrc", "[00:12.00]Line one\n[00:17.20]Line two\n"),
    "CTM": ("a.ctm", "rec1 1 0.10 0.30 hello\nrec1 1 0.45 0.20 world\n"),
    "a copied transcript": ("a.txt", "0:00\nhello everyone\n0:04\nwelcome back\n0:08\nto my channel\n"),
    "minutes of a meeting": ("a.txt", "Anna  0:05\nHello everyone.\n\nBob  0:12\nWelcome back.\n"),
    "times in brackets": ("a.txt", "[00:00:01.000] Hello there.\n[00:00:03.000] And again.\n"),
}


@pytest.mark.parametrize("what", UNREAD)
def test_times_and_markup_of_other_formats_are_never_taken_for_words(tmp_path: Path, what: str) -> None:
    name, content = UNREAD[what]
    with pytest.raises(SubtitleError, match="Save it as SRT"):
        read(tmp_path, name, content)


@pytest.mark.parametrize(
    "content",
    [
        "At 5:30 we met.\n\nAt 6:15 we left, and by 7:00 it was over.\n",
        "1. First we go home.\n2. Then we sleep.\n3.5 hours later we wake.\n",
        "12:00\n\nIt was noon when she came. Nobody had expected her.\n\nSo we sat down.\n",
        "[1] This is a note.\nIt goes on.\n",
        "555 0199, that is my number.\nAnd 555 0200 is hers.\n",
    ],
)
def test_a_plain_text_may_speak_of_times(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, "a.txt", content).format == "text"


@pytest.mark.parametrize(
    ("said", "is_kept"),
    [
        ("*Hello* and *bye*", True),
        ("#one and #two are tags#", True),
        ("(Yes) he said (no)", True),
        ("*coughs*", False),
        ("\u266a la la \u266a", False),
        ("[Music] (applause)", False),
        ("(laughs) - [door]", False),
    ],
)
def test_a_sentence_between_two_marks_is_no_noise(tmp_path: Path, said: str, is_kept: bool) -> None:
    found = read(tmp_path, "a.srt", f"{SRT}\n3\n00:00:05,000 --> 00:00:06,000\n{said}\n")
    assert [one.text for one in found.cues[2:]] == ([said] if is_kept else [])


def grid(*tiers: tuple[str, list[str]]) -> str:
    made = f'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 4\ntiers? <exists>\nsize = {len(tiers)}\nitem []:\n'
    for number, (name, texts) in enumerate(tiers, 1):
        made += f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"\n        xmin = 0\n        xmax = 4\n'
        made += f"        intervals: size = {len(texts)}\n"
        for at, text in enumerate(texts):
            made += f'        intervals [{at + 1}]:\n            xmin = {at}\n            xmax = {at + 1}\n            text = "{text}"\n'
    return made


def test_the_only_tier_with_a_text_needs_no_name(tmp_path: Path) -> None:
    content = grid(("notes", ["", ""]), ("words", ["Hello.", "Again."]), ("empty", []))
    assert [one.text for one in read(tmp_path, "a.TextGrid", content).cues] == ["Hello.", "Again."]


def test_of_two_tiers_with_one_name_none_is_lost_in_silence(tmp_path: Path) -> None:
    content = grid(("speech", ["Hello."]), ("speech", ["Other."]))
    with pytest.raises(SubtitleError, match="'speech', 'speech'"):
        read(tmp_path, "a.TextGrid", content)
    with pytest.raises(SubtitleError, match="two tiers"):
        read(tmp_path, "a.TextGrid", content, "speech")


def test_brackets_in_a_text_of_a_textgrid_stay(tmp_path: Path) -> None:
    content = grid(("words", ["see [1] and points: size here", "x"]))
    assert read(tmp_path, "a.TextGrid", content).cues[0].text == "see [1] and points: size here"


def test_a_text_that_is_not_utf8_is_read_as_what_the_language_is_written_in_or_asked_for(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes(SRT.replace("Hello there.", "Привет.").encode("cp1251"))
    with pytest.raises(SubtitleError, match=r"--encoding cp1251 makes of it: Привет\."):
        cues.read(path, language="ru")
    found = cues.read(path, language="ru", encoding="cp1251")
    assert found.cues[0].text == "Привет." and not found.notes
    with pytest.raises(SubtitleError, match="no such encoding"):
        cues.read(path, language="ru", encoding="dos")
    path.write_bytes(SRT.encode("utf-16-le"))
    with pytest.raises(SubtitleError, match="--encoding utf-16-le"):
        cues.read(path)
    assert told(cues.read(path, encoding="utf-16-le")) == HELLO


def test_every_cue_inside_a_longer_one_overlaps_it(tmp_path: Path) -> None:
    times = [(1, 10), (2, 3), (5, 6), (9.97, 12), (13, 14)]
    found = read(tmp_path, "a.txt", "".join(f"{start}\t{end}\tText {start}.\n" for start, end in times))
    assert found.overlapping == {1, 2, 3}  # 0.03 s at the end of the first are rounding


@pytest.mark.parametrize(
    "line", ["[10][40]Hello.", "00:00:01:Hello.", "{25}{75}Hello.", "00:00:01:12\t9420 9420 94ad"]
)
def test_subtitles_by_frames_or_lines_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(SubtitleError, match="Save it as SRT"):
        read(tmp_path, "a.txt", f"{line}\n{line}\n{line}\n")


def test_names_before_the_words_become_speakers(tmp_path: Path) -> None:
    """Zoom writes "Anna Smith: Hello there." into each cue; spoken they are not."""
    said = ("Anna Smith: Hello there.", "Bob: How are you?", "Anna Smith: Fine.", "And you?", "Bob: Good.")
    blocks = [
        f"{at}\n00:00:{2 * at:02d}.000 --> 00:00:{2 * at + 1:02d}.000\n{one}\n" for at, one in enumerate(said)
    ]
    path = tmp_path / "a.vtt"
    path.write_text("WEBVTT\n\n" + "\n".join(blocks))
    found = cues.read(path)
    assert [(one.speaker, one.text) for one in found.cues] == [
        ("Anna Smith", "Hello there."),
        ("Bob", "How are you?"),
        ("Anna Smith", "Fine."),
        ("Anna Smith", "And you?"),
        ("Bob", "Good."),
    ]
    assert any("who speaks stands before the words (Anna Smith, Bob)" in note for note in found.notes)
    path.write_text(
        "WEBVTT\n\n"
        + "\n".join(blocks[:1] + [one.replace("Bob: ", "").replace("Anna Smith: ", "") for one in blocks[1:]])
    )
    assert cues.read(path).cues[0].text == "Anna Smith: Hello there."  # once: it may be what is said


def test_a_mark_of_a_new_speaker_is_not_said(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text(SRT.replace("Hello there.", ">> Hello there.").replace("Second", "&gt;&gt; Second"))
    assert [one.text for one in cues.read(path).cues] == ["Hello there.", "Second line, still the second."]


@pytest.mark.parametrize("form", ["clock", "a segment a line"])
def test_segments_with_the_time_of_a_clock_and_json_lines_are_read(tmp_path: Path, form: str) -> None:
    rows = [{"start": 1.0, "end": 3.0, "text": "Hello."}, {"start": 3.5, "end": 5.0, "text": "You?"}]
    clocks = [{**one, "start": f"00:00:0{one['start']}00", "end": f"00:0{one['end']}00"} for one in rows]
    path = tmp_path / "a.json"
    lines = "".join(f"{json.dumps(one)}\n" for one in rows)
    path.write_text(lines if form == "a segment a line" else json.dumps({"segments": clocks}))
    assert [(one.start_s, one.end_s) for one in cues.read(path).cues] == [(1.0, 3.0), (3.5, 5.0)]
