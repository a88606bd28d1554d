"""`voicelathe lexicon`: what it shows, what it pins, what it proposes, and what it writes."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.factories import rows
from voicelathe import digest, layout, lines, records
from voicelathe.config import params, upgrade
from voicelathe.data.lexicon import lexicon_file
from voicelathe.records import MeasuredSample, PackLine, Respelling, SampleRecord, SpeechMeasures

TEXT = """# names of our clients
respell:
  en:
    Nguyen: win # heard on the phone
    lamp: lemp
  de:
    Chef: Scheff
"""


@pytest.fixture
def lexicon(project: Path) -> Path:
    pack = [
        PackLine(f"l{number}", text, "en", None, "sentence", None, None)
        for number, text in enumerate(["The lamp is on.", "Mr Nguyen uses SQL.", "Some rain."])
    ]
    lines.write(layout.LINES / "demo.jsonl", pack)
    (project / "lexicon.yaml").write_text(TEXT)
    return project / "lexicon.yaml"


def test_check_shows_each_entry_with_its_line_and_what_it_changes(run: Run, lexicon: Path) -> None:
    shown = run("lexicon", "check", "lexicon.yaml")
    assert shown.code == 0 and "4  en        Nguyen  win         0      1" in shown.out
    assert "no row and no line is in de" in shown.out and "ingest has not run yet" in shown.out
    assert "voicelathe lexicon pin lexicon.yaml" in shown.out


def test_check_counts_rows_of_the_manifest_once_each(run: Run, lexicon: Path) -> None:
    texts = ["A lamp, a lamp.", "No lamps.", "LAMP!"]
    records.write(layout.MANIFEST, [rows.manifest_row(n, text=text) for n, text in enumerate(texts)])
    assert "5  en        lamp    lemp        2      1" in run("lexicon", "check", "lexicon.yaml").out


def test_a_lexicon_that_is_wrong_or_not_there_is_one_sentence(run: Run, project: Path) -> None:
    assert "lexicon.file in params.yaml is null" in run("lexicon", "check").err
    assert "nothing.yaml: no such lexicon" in run("lexicon", "check", "nothing.yaml").err
    (project / "lexicon.yaml").write_text("respell:\n  en:\n    10: ten\n")
    shown = run("lexicon", "pin", "lexicon.yaml")
    assert shown.code == 1 and "line 3: '10': YAML does not take it for a text" in shown.err
    assert params.load().lexicon.file is None


def test_what_is_pinned_is_used_until_the_file_changes(run: Run, lexicon: Path) -> None:
    assert run("lexicon", "pin", "lexicon.yaml").code == 0
    chosen = params.load().lexicon
    assert (chosen.file, chosen.digest) == ("lexicon.yaml", lexicon_file.identity(lexicon_file.read(lexicon)))
    assert "pinned already" in run("lexicon", "pin").out and "does not pin" not in run("lexicon", "check").out
    lexicon.write_text(TEXT.replace("# names", "# other names"))
    assert lexicon_file.of_project(params.load()), "a comment changes nothing"
    lexicon.write_text(TEXT.replace("win #", "when #"))
    assert "params.yaml does not pin this" in run("lexicon", "check").out
    assert run("lexicon", "pin").code == 0 and "pinned already" in run("lexicon", "pin").out


def test_a_lexicon_outside_the_project_is_not_pinned(run: Run, lexicon: Path, tmp_path: Path) -> None:
    outside = lexicon.rename(tmp_path / "lexicon.yaml")
    shown = run("lexicon", "pin", str(outside))
    assert shown.code == 1 and "lies outside the project" in shown.err


def test_read_shows_a_text_as_the_model_gets_it(run: Run, lexicon: Path) -> None:
    assert run("lexicon", "read", "Nguyen's lamp, 25", "--file", "lexicon.yaml").out == "win's lemp, 25\n"
    assert run("lexicon", "read", "Chef", "--language", "de-AT", "--file", "lexicon.yaml").out == "Scheff\n"


def test_words_that_were_never_heard_right_are_proposed_with_a_spelling(run: Run, lexicon: Path) -> None:
    heard = {"l0": "the lamp is on", "l1": "mister when uses sequel", "l2": "some rain"}
    pack = {line.id: line for line in lines.read(layout.LINES / "demo.jsonl")}
    samples, measured = [], []
    for step in (0, 10, 20, 30):
        name = f"step_{step:07d}@1" if step else "base"
        for one, said in heard.items():
            samples.append(
                SampleRecord(
                    name, step, 1.0, one, pack[one].text, 42, {}, None, None, 1.0, None, None, True, None
                )
            )
            measured.append(MeasuredSample(name, one, 42, {}, {}, "the damp is on" if step == 0 else said))
    records.write(layout.run("mini-lora", "samples.jsonl"), samples)
    told = SpeechMeasures("mini-lora", "0" * 64, 0, [], [], measured, {})
    digest.write_json(layout.run("mini-lora", "metrics.json"), records.to_json(told))
    out = run("lexicon", "propose", "mini-lora").out
    found = [line.split() for line in out.splitlines() if line.strip().startswith("en")]
    assert ["en", "Nguyen", "3", "when"] in found and ["en", "SQL", "3", "sequel", "S", "Q", "L"] in found
    assert len(found) == 2, "the base's own mistakes are not the voice's"
    assert "was heard right at least once" in run("lexicon", "propose", "mini-lora", "--times", "4").out


def test_entries_are_written_among_the_others_with_their_comments(lexicon: Path) -> None:
    lexicon_file.add(
        lexicon,
        [
            Respelling("en", "SQL", "sequel"),
            Respelling("fr", "Nguyen", "n'guienne"),
            Respelling("en", "Lamp", "lump"),
        ],
    )
    wanted = TEXT.replace("lamp: lemp\n", "lamp: lump\n    SQL: sequel\n") + "  fr:\n    Nguyen: n'guienne\n"
    assert lexicon.read_text() == wanted
    with pytest.raises(Exception, match="leads back"):
        lexicon_file.add(lexicon, [Respelling("en", "US", "the US")])
    assert lexicon.read_text() == wanted
    lexicon_file.add(lexicon.with_name("new.yaml"), [Respelling("en", "SQL", "sequel")])
    assert lexicon.with_name("new.yaml").read_text() == "respell:\n  en:\n    SQL: sequel\n"


def test_try_says_what_is_no_entry(run: Run, lexicon: Path) -> None:
    for given in ("Nguyen", "=win", "Nguyen="):
        shown = run("lexicon", "try", "mini-lora", given)
        assert shown.code == 1 and "give WORD=RESPELLING" in shown.err


def test_an_older_file_of_settings_gets_the_section_and_reads_text_as_before(project: Path) -> None:
    text = Path("params.yaml").read_text()
    start, end = text.index("lexicon:"), text.index("serving:")
    made = upgrade.upgrade(text[:start] + text[end:])
    assert made.notes == ["lexicon: added"] and made.text == text
