"""A lexicon is refused with the line of every mistake in it, and its digest is of what it says."""

from dataclasses import replace
from pathlib import Path

import pytest

from voicelathe.config import params, schema
from voicelathe.data.lexicon import lexicon_file
from voicelathe.errors import LexiconError, VoiceLatheError
from voicelathe.records import Lexicon, Respelling


def refused(text: str) -> str:
    with pytest.raises(LexiconError) as problem:
        lexicon_file.parse(text, "lexicon.yaml")
    return str(problem.value)


def entries(*lines: str, language: str = "en") -> str:
    return f"respell:\n  {language}:\n" + "".join(f"    {line}\n" for line in lines)


GOOD = entries("Nguyen: win", "SQL: sequel")


def test_a_lexicon_is_read_in_the_order_of_its_words() -> None:
    wanted = (
        Respelling("de", "Chef", "Scheff"),
        Respelling("en", "Nguyen", "win"),
        Respelling("en", "SQL", "sequel"),
    )
    found = lexicon_file.parse(f"write_out_numbers: true\n{GOOD}  de:\n    Chef: Scheff\n", "x")
    assert found == Lexicon(wanted, True)


def test_layout_order_and_comments_do_not_change_the_digest_and_a_word_does() -> None:
    digest = lexicon_file.identity(lexicon_file.parse(GOOD, "x"))
    other = "# names\nrespell: {en: {\"SQL\": 'sequel', Nguyen:  win}} # all\nwrite_out_numbers: false\n"
    assert lexicon_file.identity(lexicon_file.parse(other, "x")) == digest
    for changed in (
        GOOD.replace("win", "when"),
        GOOD.replace("SQL", "Sql"),
        GOOD + "write_out_numbers: true\n",
    ):
        assert lexicon_file.identity(lexicon_file.parse(changed, "x")) != digest


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (["a: b", "b: c", "c: a"], "line 3: 'a' is said 'b', which leads back to it: 'a' -> 'b' -> 'c' -> 'a'"),
        (["US: the US"], "line 3: 'US' is said 'the US', which leads back to it: 'US' -> 'US'"),
        (["live: Live"], "line 3: 'live' is said 'Live', which leads back to it"),
        (["a: x b", "b: c"], "line 3: 'a' is said 'x b', and 'b' is an entry, too (line 4). Entries are not looked up twice"),
        (["a: ''"], "line 3: 'a': what is said is empty"),
        (["'': b"], "line 3: '': the word is empty"),
        (["a: '  '"], "line 3: 'a': what is said is empty"),
        (["a:"], "line 3: 'a': nothing: a text is expected"),
        (["a: '...'"], "line 3: 'a': what is said, '...', holds no letter and no digit"),
        (["'?': b"], "line 3: '?': the word, '?', holds no letter and no digit"),
        (["a: b", "x: y", "a: c"], "line 5: 'a' stands in line 3 already\n"),
        (["Nguyen: a", "nguyen: b"], "line 4: 'nguyen' stands in line 3 already (they differ in case"),
        (["caf\u00e9: a", "cafe\u0301: b"], "line 4: 'caf\u00e9' stands in line 3 already"),
        (["New York: a", "'New  York': b"], "line 4: 'New York' stands in line 3 already"),
        (["O'Brien: a", "O\u2019Brien: b"], "line 4: 'O\u2019Brien' stands in line 3 already"),
        (["10: ten"], "line 3: '10': YAML does not take it for a text. Put it in quotes: '10'"),
        (["true: x"], "line 3: 'true': YAML does not take it for a text"),
        (["null: x"], "line 3: 'null': YAML does not take it for a text"),
        (["2024-05-12: x"], "line 3: '2024-05-12': YAML does not take it for a text"),
        (["a: 3"], "line 3: 'a': '3': a text is expected; YAML takes it for something else. Put it in quotes"),
        (["a: true"], "line 3: 'a': 'true': a text is expected"),
        (["a: [b]"], "line 3: 'a': a list or a section: a text is expected"),
        (["a: {b: c}"], "line 3: 'a': a list or a section: a text is expected"),
        (["? [a]", ": b"], "line 3: a list or a section: YAML does not take it for a text"),
        (['"a\\nb": c'], "line 3: 'a\\nb': the word holds a control character"),
        (["\u0301a: b"], "line 3: '\u0301a': a word cannot begin with a mark"),
        ([f"a: {'b' * 201}"], "what is said has 201 characters; at most 200"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(lines: list[str], wanted: str) -> None:
    assert wanted in refused(entries(*lines))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (entries("a: b", language="xx"), "line 2: 'xx': no language of that name is known; write a tag such as en, de or pt-BR"),
        (entries("a: b", language="eng"), "line 2: 'eng': write en"),
        (entries("a: b", language="en_US"), "line 2: 'en_US': write en-US"),
        (entries("a: b", language="1"), "line 2: '1': YAML does not take it for a text"),
        ("respell: {en: {a: b}, en: {c: d}}", "line 1: en stands in line 1 already"),
        ("respell: {en: {a: b}}\nrespell: {de: {a: b}}", "line 2: 'respell' is there twice"),
        ("respell: {en: [a]}", "line 1: respell.en = a list or a section: `name: value` lines are expected"),
        ("respell: a", "line 1: respell = 'a': `name: value` lines are expected"),
        ("words: {}", "line 1: 'words': unknown; there are respell and write_out_numbers"),
        ("write_out_numbers: yes", "line 1: write_out_numbers = 'yes': true or false is expected"),
        ("- a", "line 1: the file = a list or a section"),
        ("", "lexicon.yaml is empty"),
        ("respell: {}", "lexicon.yaml says nothing"),
        ("a: [", "lexicon.yaml is not readable YAML"),
        ("a: b\n---\na: c", "lexicon.yaml is not readable YAML"),
    ],
)  # fmt: skip
def test_what_is_no_lexicon_is_refused(text: str, wanted: str) -> None:
    assert wanted in refused(text)


def test_norwegian_and_words_that_other_readers_of_yaml_take_for_truths_are_texts() -> None:
    found = lexicon_file.parse(entries("on: oon", "yes: jess", "y: i", language="no"), "x")
    assert [(one.language, one.written) for one in found.respellings] == [
        ("no", "on"),
        ("no", "y"),
        ("no", "yes"),
    ]


def test_every_mistake_is_told_at_once_in_the_order_of_the_lines() -> None:
    said = refused(entries("10: ten", "a: ''", "b: c", "b: d"))
    assert [line.strip().split(":")[0] for line in said.splitlines()[1:-1]] == ["line 3", "line 4", "line 6"]


def test_a_file_that_is_written_says_the_same_when_it_is_read(tmp_path: Path) -> None:
    lines = ["'10': ten", "'true': troo", "SQL: sequel", '"O\'Brien": oh', "caf\u00e9: 'kaf: ay # x'"]
    found = lexicon_file.parse(f"write_out_numbers: true\n{entries(*lines)}  pt-BR:\n    Rio: hio\n", "x")
    path = tmp_path / "lexicon.yaml"
    path.write_text(lexicon_file.written(found), encoding="utf-8")
    assert lexicon_file.read(path) == found
    assert lexicon_file.lines(path)["en", "10"] == 4


def test_a_file_that_is_gone_or_no_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.yaml"
    with pytest.raises(LexiconError, match=r"lexicon\.yaml: no such lexicon"):
        lexicon_file.read(path)
    path.write_bytes("respell: {de: {schön: x}}".encode("latin-1"))
    with pytest.raises(LexiconError, match="is not UTF-8"):
        lexicon_file.read(path)


def test_the_project_uses_only_the_lexicon_that_is_pinned(tmp_path: Path) -> None:
    settings = params.load()
    assert lexicon_file.of_project(settings) is None
    (tmp_path / "lexicon.yaml").write_text(GOOD)
    digest = lexicon_file.identity(lexicon_file.parse(GOOD, "x"))

    def of(pinned: str | None) -> Lexicon | None:
        chosen = replace(settings, lexicon=schema.LexiconFile("lexicon.yaml", pinned))
        return lexicon_file.of_project(chosen, tmp_path)

    assert of(digest) == lexicon_file.parse(GOOD, "x")
    for wrong in (None, "0" * 64):
        with pytest.raises(
            VoiceLatheError, match=r"lexicon\.digest in params\.yaml is (null|0000).*voicelathe lexicon pin"
        ):
            of(wrong)


@pytest.mark.parametrize("text", ["respell:\n", "respell:\n  en:\n", "write_out_numbers: true\n"])
def test_an_entry_is_added_to_a_file_whose_section_is_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lexicon.yaml"
    path.write_text(text)
    lexicon_file.add(path, [Respelling("en", "SQL", "sequel")])
    assert lexicon_file.read(path).respellings == (Respelling("en", "SQL", "sequel"),)
