"""A pack is read whole or refused with every problem; a frozen one that changed is refused with what changed."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import rows, runs
from voicelathe import layout, lines, records
from voicelathe.config import params
from voicelathe.data.text import characters
from voicelathe.errors import LinesError, ParamsError
from voicelathe.lines import freezing, shipped, strata
from voicelathe.records import HELD_OUT, STRATA, PackLine

ROOT = Path(__file__).parents[2]
GOOD = {"id": "lamp", "text": "The lamp is on.", "language": "en", "stratum": "sentence"}
SAID = {**GOOD, "id": "held-out-c1", "clip_id": "c1", "speaker": "awb", "recording_id": "r1"}


def pack_of(folder: Path, *some: Mapping[str, Any] | bytes) -> Path:
    return rows.json_lines(
        folder / "mine.jsonl", [one if isinstance(one, bytes) else dict(one) for one in some]
    )


def problems(folder: Path, *some: Mapping[str, Any] | bytes) -> str:
    with pytest.raises(LinesError) as refused:
        lines.read(pack_of(folder, *some))
    return str(refused.value)


def test_a_pack_is_read_in_its_order_and_what_is_null_may_be_left_out(tmp_path: Path) -> None:
    other = {**GOOD, "id": "rain", "text": "It rains."}
    path = pack_of(tmp_path, other, SAID, b"")
    assert lines.read(path) == [
        PackLine("rain", "It rains.", "en", None, "sentence", None, None),
        PackLine("held-out-c1", "The lamp is on.", "en", "awb", "sentence", "c1", "r1"),
    ]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(lines.read(path)) == 2, "as an editor on Windows saves it"


@pytest.mark.parametrize(
    "change, said",
    [
        ({"id": "../x"}, r"line 1: id '../x': letters, digits"),
        ({"id": ""}, r"line 1: id '': letters, digits"),
        ({"id": "long-lamp"}, "may not begin with 'long-'"),
        ({"id": "held-out-lamp"}, "names no clip_id"),
        ({"text": " ...\u200b"}, "has no words"),
        ({"text": ""}, "has no words"),
        ({"language": " "}, "language is empty"),
        ({"stratum": "shout"}, "stratum 'shout' does not exist; there are short, sentence, long"),
        ({"clip_id": "c1"}, "a held-out line is called held-out-c1"),
        ({"recording_id": "r1"}, "recording_id 'r1' without a clip_id"),
        ({"text": None}, "text = None: expected a text"),
        ({"text": 3}, "text = 3: expected a text"),
        ({"seed": "3"}, "unknown seed; there are id, text"),
    ],
)
def test_a_line_that_cannot_be_used_is_refused_with_its_place(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    found = problems(tmp_path, {**GOOD, **change})
    assert said in found and "line 1" in found and "docs/lines.md" in found


def test_all_problems_of_a_pack_are_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path, GOOD, {**GOOD, "text": "It rains."}, {**GOOD, "id": "loud", "text": "the LAMP is on"}, b"{", {"id": "x"}
    )  # fmt: skip
    assert "line 2: id 'lamp' is that of line 1, too" in found
    assert "line 3: loud says the same words as lamp in line 1" in found
    assert "line 4: " in found and "line 5: text, language, stratum missing" in found


def test_one_sentence_in_two_languages_is_two_lines(tmp_path: Path) -> None:
    assert len(lines.read(pack_of(tmp_path, GOOD, {**GOOD, "id": "de", "language": "de"}))) == 2


@pytest.mark.parametrize("missing", ["speaker", "recording_id"])
def test_a_held_out_line_says_whose_recording_it_is(tmp_path: Path, missing: str) -> None:
    assert "names the speaker and the recording_id" in problems(tmp_path, {**SAID, missing: None})


def test_an_empty_pack_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    assert "holds no line" in problems(tmp_path)
    with pytest.raises(
        LinesError, match=r"none\.jsonl: no such pack of lines\. Make one: voicelathe lines propose"
    ):
        lines.read(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    "path", ["demo.jsonl", "lines/deep/er.jsonl", "lines/demo.json", "/abs/lines/x.jsonl", "../lines/x.jsonl"]
)
def test_a_pack_lies_where_the_stages_look(tmp_path: Path, path: str) -> None:
    raw = params.read_yaml(ROOT / "params.yaml")
    raw["recipes"]["mini-lora"]["listen"]["lines"] = path
    with pytest.raises(ParamsError, match=r"recipes\.mini-lora\.listen\.lines = .*voicelathe lines propose"):
        params.check(raw, "params.yaml")


def test_lines_of_an_earlier_version_are_told_where_they_went() -> None:
    raw = params.read_yaml(ROOT / "params.yaml")
    raw["recipes"]["mini-lora"]["listen"] |= {
        "lines": [{"id": "a", "text": "x", "language": "en"}],
        "held_out_lines": 4,
    }
    with pytest.raises(ParamsError) as refused:
        params.check(raw, "params.yaml")
    told = str(refused.value)
    assert (
        "mini-lora.listen.lines = " in told
        and "mini-lora.listen.held_out_lines = 4: unknown key; lines are a file" in told
    )
    assert told.count("make one: voicelathe lines propose") == 4, "both recipes share the section"


def test_the_language_of_most_lines_is_that_of_the_pack() -> None:
    said = [
        PackLine(str(at), "x", language, None, "short", None, None)
        for at, language in enumerate(("en", "de", "de", "en"))
    ]
    assert lines.commonest_language(said) == "en" and lines.commonest_language(said[:3]) == "de"


# --- packs that stay -------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    runs.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frozen() -> tuple[Path, list[PackLine]]:
    path = layout.LINES / "demo.jsonl"
    pack = lines.read(path)
    digest = freezing.freeze(pack, path)
    params.edit({"recipes/mini-lora/listen/lines_digest": digest})
    return path, pack


def test_a_frozen_pack_is_taken_whatever_its_layout(project: Path) -> None:
    path, pack = frozen()
    assert lines.of(params.load(), "mini-lora") == pack
    path.write_text("".join(json.dumps(records.to_json(line), indent=None) + "\n\n" for line in pack))
    assert lines.of(params.load(), "mini-lora") == pack


@pytest.mark.parametrize(
    "edit, said",
    [
        (lambda pack: pack[1:], "carrier: removed ('Every small detail felt clear.')"),
        (lambda pack: [*pack, replace(pack[0], id="new", text="A new one.")], "new: added ('A new one.')"),
        (
            lambda pack: [replace(pack[0], text="Every detail felt clear."), *pack[1:]],
            "carrier: text was 'Every small detail felt clear.', is 'Every detail felt clear.'",
        ),
        (
            lambda pack: [replace(pack[0], stratum="long"), *pack[1:]],
            "carrier: stratum was 'sentence', is 'long'",
        ),
        (lambda pack: pack[::-1], "the order of the lines changed"),
    ],
)
def test_a_frozen_pack_that_changed_is_refused_with_what_changed(project: Path, edit: Any, said: str) -> None:
    path, pack = frozen()
    records.write(path, edit(pack))
    with pytest.raises(LinesError, match=r"frozen by recipes\.mini-lora\.listen\.lines_digest") as refused:
        lines.of(params.load(), "mini-lora")
    assert said in str(refused.value) and f"cp {freezing.copy_of(path)} {path}" in str(refused.value)
    with pytest.raises(LinesError, match="is frozen already") as again:
        freezing.freeze(edit(pack), path)
    assert said in str(again.value)


def test_a_frozen_pack_whose_copy_is_gone_is_refused_all_the_same(project: Path) -> None:
    path, pack = frozen()
    freezing.copy_of(path).unlink()
    records.write(path, pack[1:])
    with pytest.raises(LinesError, match="What it was cannot be told"):
        lines.of(params.load(), "mini-lora")


def test_freezing_twice_changes_nothing(project: Path) -> None:
    path, pack = frozen()
    before = freezing.copy_of(path).read_bytes()
    assert freezing.freeze(pack, path) == freezing.identity(pack)
    assert freezing.copy_of(path).read_bytes() == before == path.read_bytes()


def test_every_pack_that_a_recipe_names_comes_once(project: Path) -> None:
    records.write(layout.LINES / "other.jsonl", runs.pack({"rain": "It rains."}))
    assert [path for path, _ in lines.packs(params.load())] == ["lines/demo.jsonl"]
    raw = params.read_yaml(Path("params.yaml"))
    raw["recipes"]["mini-full"]["listen"] = {
        **raw["recipes"]["mini-full"]["listen"],
        "lines": "lines/other.jsonl",
    }
    both = params.check(raw, "params.yaml")
    assert {path: len(pack) for path, pack in lines.packs(both)} == {
        "lines/demo.jsonl": 2,
        "lines/other.jsonl": 1,
    }


# --- kinds of sentence -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said, language, kind",
    [
        ("Why not?", "en", "short"),
        ("I am here now.", "en", "sentence"),
        ("It is already a quarter past nine.", "en", "numbers"),
        ("Meet me at the gate on Friday.", "en", "numbers"),
        ("Room 12B is closed today.", "en", "numbers"),
        ("Did you see what I saw?\u201d", "en", "question"),
        ("I asked, but I'm sure I've seen it.", "en", "sentence"),
        ("It was late. Nobody spoke for a while.", "en", "sentence"),
        ("They sailed to Oslo in a storm.", "en", "names"),
        ("\u201cCome,\u201d she said, \u201cit is late.\u201d", "en", "sentence"),
        ("Der Hund liegt unter dem Tisch.", "de", "sentence"),
        ("Wir treffen uns im März am See.", "de", "numbers"),
        ("¿Dónde está la llave del coche?", "es", "question"),
        ("今天很冷。", "zh", "short"),
        ("他今年二十岁，住在海边。", "zh", "numbers"),
        ("他一直住在海边的小房子里。", "zh", "sentence"),
        ("今日はどこへ行きましたか？", "ja", "question"),
        ("Пятеро друзей шли по мокрой дороге.", "ru", "sentence"),
        ("И тогда Наташа открыла старую дверь.", "ru", "names"),
        (" ".join(["word"] * 16), "en", "long"),
        ("字" * 30, "zh-TW", "long"),
    ],
)
def test_a_text_is_of_its_kind(said: str, language: str, kind: str) -> None:
    assert strata.of(said, language) == kind


# --- what we ship ----------------------------------------------------------------------------------------------------

LANGUAGES = ("de", "en", "es", "fr", "it", "ja", "zh")


def test_sentences_of_seven_languages_are_shipped() -> None:
    assert tuple(sorted(path.stem for path in shipped.FOLDER.glob("*.jsonl"))) == LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_shipped_sentences_are_forty_of_all_kinds_and_what_they_say_they_are(language: str) -> None:
    pack = lines.read(shipped.FOLDER / f"{language}.jsonl")
    assert len(pack) >= 40 and {line.language for line in pack} == {language}
    assert all(sum(line.stratum == kind for line in pack) >= 6 for kind in STRATA)
    assert not [line.id for line in pack if line.is_held_out]
    unseen = {"names"} if language in ("de", "ja", "zh") else set()
    assert [line.id for line in pack if line.stratum not in unseen | {strata.of(line.text, language)}] == []
    assert all(strata.of(line.text, language) == "sentence" for line in pack if line.stratum in unseen)


def test_the_general_pack_is_of_shipped_sentences_and_holds_every_kind_in_each_six() -> None:
    pack = lines.read(ROOT / "lines/en.jsonl")
    assert len(pack) >= 24 and set(pack) <= set(lines.read(shipped.FOLDER / "en.jsonl"))
    assert all({line.stratum for line in pack[at : at + 6]} == set(STRATA) for at in range(0, len(pack), 6))


def test_half_of_the_demo_s_pack_are_real_recordings_and_the_carrier_line_is_in_it() -> None:
    pack = lines.read(ROOT / "lines/demo.jsonl")
    assert len(pack) == 40 and sum(line.is_held_out for line in pack) == 20
    assert {line.stratum for line in pack[:6]} == set(STRATA)
    assert {line.is_held_out for line in pack[:3]} == {True, False}
    assert [line.text for line in pack if line.id == "carrier"] == [
        "Today I walked through the quiet morning light, and every small detail felt clear, steady, and close."
    ]
    manifest = [
        json.loads(line)["text"] for line in (ROOT / "data/demo/manifest.jsonl").read_bytes().splitlines()
    ]
    assert {characters.words(line.text) for line in pack if line.is_held_out} <= set(
        map(characters.words, manifest)
    )
    assert all(line.id.startswith(HELD_OUT) == line.is_held_out for line in pack)
