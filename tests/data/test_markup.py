"""What stands in real corpora's texts and nobody says, by kind; and good texts that look a little like it."""

from pathlib import Path

import pytest

from tests.factories import rows
from voicelathe.data.audit import clean
from voicelathe.data.text import normaliser, phrases

SHIPPED = phrases.load(Path(__file__).parents[2] / "data/phrases/boilerplate.txt")

UNSAID = {
    "prosody marks of BZNSYP": ("zh", "卡尔普#2陪外孙#1玩滑梯#4。", "markup"),
    "prosody marks, once": ("zh", "今天天气很好#4", "markup"),
    "prosody marks in Latin": ("vi", "xin chao#1 cac ban#4", "markup"),
    "pinyin": ("zh", "ni3 hao3 jin1 tian1 tian1 qi4 hen3 hao3", "phonemes"),
    "jyutping": ("yue", "nei5 hou2 gam1 jat6 tin1 hei3", "phonemes"),
    "pieces of a tokeniser": ("en", "\u2581hello \u2581there \u2581my \u2581friend", "markup"),
    "byte pairs": ("en", "hel@@ lo there my friend and all of you", "markup"),
    "a time": ("en", "00:00:01.500 hello there my dear friend", "markup"),
    "a mark of captions": ("en", ">> hello there my dear friend, how are you", "markup"),
    "markdown": ("en", "**Hello** there my dear friend, how are you", "markup"),
    "a heading": ("de", "## Kapitel eins und der Rest davon", "markup"),
    "a tag in braces": ("en", "{pause} and then we go on from here", "markup"),
    "an escape": ("fr", "L'\\u00e9t\\u00e9 dernier nous allions", "markup"),
    "a tab for the beginning of a folder": ("en", "The folder C:\temp\\new is empty, as are all the others.", "markup"),
    "a tab further on in a path": ("en", "Look into D:\\data\talks, where all the others are.", "markup"),
    "a tab for the beginning of a file": ("en", "Open C:\table.csv now, and then all the others.", "markup"),
    "a line feed inside a path": ("en", "Look into C:\news\\old, where all the others are.", "markup"),
    "a file": ("en", "wavs/chapter_one/talk1_01.wav", "markup"),
    "a speaker by a letter": ("en", "Speaker A: hello there my dear old friend", "markup"),
    "a speaker, small": ("en", "speaker 1: hello there my dear old friend", "markup"),
    "a speaker in brackets": ("en", "(Speaker 1): hello there my dear old friend", "markup"),
    "a speaker in braces": ("en", "{Speaker:1} hello there my dear old friend", "markup"),
    "a speaker in German": ("de", "Sprecher 1: hallo mein lieber alter Freund", "markup"),
    "a speaker in short": ("en", "S1: hello there my dear old friend, you", "markup"),
    "a place of SubStation": ("en", "{\\an8}Hello there my dear friend, how are you", "markup"),
    "italics of SubStation": ("en", "{\\i1}Hello{\\i0} there my dear friend", "markup"),
    "a line break of SubStation": ("en", "Hello there \\N my dear friend, how are you", "markup"),
    "a hesitation": ("en", "hello there %HESITATION my dear friend, you", "markup"),
    "a noise between at signs": ("en", "hello there @BREATH@ my dear friend, you", "markup"),
    "a noise between plus signs": ("en", "hello ++um++ there my dear friend, you", "markup"),
    "times between angles": ("en", "<0.00> Hello there my dear friend <2.40>", "markup"),
    "a time in brackets": ("en", "(0:12) Hello there my dear friend, how are you", "markup"),
    "emphasis of Gutenberg": ("en", "_Hello_ there my dear friend how are you", "markup"),
    "emphasis": ("en", "I *really* did not know what to do there", "markup"),
    "struck through": ("en", "~~Hello~~ there my dear friend, how are you", "markup"),
    "escaped quotes": ("en", "It\\'s a nice day, isn\\'t it, my dear old friend?", "markup"),
    "quotes of CSV": ("en", 'He said ""go"" and we all went home then.', "markup"),
    "a blank of an address": ("en", "Hello there%20my%20dear%20friend, how are you", "markup"),
    "half an entity": ("en", "It&#39s a nice day and we go out now &amp", "markup"),
    "another column": ("en", "hello there my dear friend|anna", "markup"),
    "a file and its text": ("en", "audio/a.wav|hello there my dear friend", "markup"),
    "furigana": ("ja", "\u6f22\u5b57\uff08\u304b\u3093\u3058\uff09\u3092\u8aad\u307f\u307e\u3059", "markup"),
    "furigana of Aozora": ("ja", "\u6f22\u5b57\u300a\u304b\u3093\u3058\u300b\u3092\u8aad\u307f\u307e\u3059", "markup"),
    "pinyin with accents": ("zh", "n\u01d0 h\u01ceo j\u012bn ti\u0101n ti\u0101n q\u00ec h\u011bn h\u01ceo", "phonemes"),
    "a song": ("en", "\U0001f3b5 la la la la la la \U0001f3b5", "boilerplate"),
    "a bullet of a PDF": ("en", "\uf0b7 hello there my dear friend, how are you", "control_characters"),
    "question marks for letters": ("de", "Gr??e an alle, die hier sind", "replacement_character"),
    "question marks in several words": ("fr", "L'?t? dernier, il ?tait dans la for?t noire", "replacement_character"),
}  # fmt: skip


def found_in(text: str, language: str, **measured: float) -> list[str]:
    row = rows.manifest_row(1, text=text, language=language)
    found = clean.audit([row], [], [rows.measured(1, **measured)], rows.AUDIT, SHIPPED)
    return [one.rule for one in found.findings if one.action == "drop"]


@pytest.mark.parametrize("what", UNSAID)
def test_what_nobody_says_is_found_whoever_left_it(what: str) -> None:
    language, text, rule = UNSAID[what]
    assert rule in found_in(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "She plays C#4 and F#3, and then again a C#2 for us."),
        ("en", "We are #1 and they are #2 in this whole league."),
        ("en", "Really? Yes! What?! He said: who? me? Well..."),
        ("en", "Are you in?or out of this little game of ours"),  # a blank was forgotten
        ("es", "\u00bfQu\u00e9? \u00bfqui\u00e9n? \u00a1Ah\u00ed! No lo s\u00e9, \u00bfy t\u00fa?"),
        ("en", "Take mp3 and mp4 files with you, all of them now."),
        ("en", "At 12:30 we left, and at 5:15 we were all home."),
        ("en", "5 * 3 is 15, and a * marks what is not so good."),
        ("en", "Send it to anna@example.com, or to us @ the office."),
        ("en", "The set {1, 2} has two numbers, as we all know."),
        ("en", "The folder C:\\temp is empty, as are all the others."),
        ("en", "The folders C:\\temp\\new, C:\\My Files\\new and X:\\ are empty."),
        ("en", "M:\tdo you like it, or do you not like it at all?"),
        ("en", "W:\tyes. I like it, and you know that very well."),
        ("en", "S:\thello.and good morning to all of you out there"),
        ("en", "Plan C:\tbuild it again, and then we all go home."),
        ("en", "Option D:\t4 apples, and a pear for all of us here."),
        ("en", "Option c:\x0bit rains, and we stay at home all day long."),
        ("de", "Gr\u00f6\u00dfe d:\t5 cm, und das ist nicht gerade viel."),
        ("en", "y:\tno, we do not, and nobody of you should do so."),
        ("en", "We have a plan B:\nwe go home now.\tAll of us."),
        ("en", "Open the file called talk.wav, please, and play it."),
        ("en", "Call (555) 010-7788, or (0:12) later, +49 30 1234 if you must."),
        ("en", "It is 100% right, 3*4*5 is 60, a_b_c is a name, C++ and R&D are not."),
        ("en", 'She is 5\'10" tall, and said "go" and "come".'),
        ("en", "Really?|Hmm"[:7] + " The footnote* and the other* one."),
        ("hi", "\u0935\u0939 \u0906\u092f\u093e|\u0914\u0930 \u0917\u092f\u093e|"),
        (
            "ja",
            "\u5f7c\u306f\uff08\u7b11\u3044\u306a\u304c\u3089\uff09\u884c\u304f\uff08\u3044\u304f\uff09\u3068\u8a00\u3063\u305f",
        ),
        (
            "zh",
            "\u6211\u4eec\u8bfb\u300a\u7ea2\u697c\u68a6\u300b\uff0c\u7136\u540e\u53bb Caf\u00e9 \u5403\u996d",
        ),
        ("vi", "Xin ch\u00e0o c\u00e1c b\u1ea1n, h\u00f4m nay tr\u1eddi \u0111\u1eb9p l\u1eafm"),
        ("fr", "R&D et q&a, \u00e0 50 % : oui, R&amplitude non."),
        ("zh", "第#号房间在二楼，请您跟我来。"),
        ("de", "Nr. 5 > Nr. 4, und Nr. 3 < Nr. 4, das ist klar."),
    ],
)
def test_what_somebody_may_say_is_no_markup(language: str, text: str) -> None:
    assert not {"markup", "phonemes", "replacement_character", "double_encoding"} & set(
        found_in(text, language)
    )


@pytest.mark.parametrize("text", ["nan", "NaN", "None", "N/A", "undefined"])
def test_what_a_table_writes_for_nothing_is_no_text_unless_it_takes_just_its_time(text: str) -> None:
    assert "boilerplate" in found_in(text, "en")
    assert "boilerplate" not in found_in(text, "en", duration_s=0.9)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Open C:\\temp\\new, then C:\\new now.", "Open C:\\temp\\new, then C:\\new now."),
        ("C:\\Program Files\\nvidia is full.\\nDelete it.", "C:\\Program Files\\nvidia is full. Delete it."),
        ("Hello.\\nIt is in C:\\temp \\r\\nand more", "Hello. It is in C:\\temp and more"),
        ("Plan B:\\nwe go\\thome", "Plan B: we go home"),
        ("Plan C:\\nThen we go.\\nAnd on", "Plan C: Then we go. And on"),
        ("Plan C:\\n\u00c4pfel.\\n4 of them", "Plan C: \u00c4pfel. 4 of them"),
        ("Teil D:\\nErstens das.\\nC:\\new", "Teil D: Erstens das. C:\\new"),
        ("Step E:\\r\\nGo on", "Step E: Go on"),
        ("Step E:\\r\\ngo on", "Step E: go on"),
        ("It is in C:\\temp, Plan C:\\nThen we go", "It is in C:\\temp, Plan C: Then we go"),
    ],
)
def test_a_folder_that_begins_with_n_or_t_is_no_line_break(written: str, text: str) -> None:
    assert normaliser.text_of(written) == text and normaliser.text_of(text) == text


def test_a_long_row_of_signs_is_judged_at_once() -> None:
    from voicelathe.data.text import markup

    for text in (
        "?" * 300_000 + "a?",
        "a?" * 3 + "?" * 300_000,
        "**" * 100_000,
        "#1" * 100_000,
        "[" * 200_000,
        "_a" * 100_000,
        "C:\\" * 100_000,
        "C:\\n" * 100_000,
        "C:\t" * 100_000,
        "C:\\a" * 100_000,
        "C:\ta" * 100_000,
        "*a" * 100_001 + "b",
        "~~a" + "a~" * 100_000,
        '"' * 200_001,
    ):
        assert markup.LOST.search(text) is None and markup.find(text) is None
        markup.swallowed(text)
