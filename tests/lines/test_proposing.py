"""A proposed pack holds every kind, language and main speaker, nothing that was trained on, and says what it lacks."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow
import pytest
from typer.testing import CliRunner

from tests.factories import rows
from voicelathe import layout, lines, records
from voicelathe.cli import app
from voicelathe.config import params
from voicelathe.data import columns
from voicelathe.errors import LinesError, ParamsError, RecordError
from voicelathe.lines import proposing, shipped
from voicelathe.records import STRATA, CleanClip

ROOT = Path(__file__).parents[2]
SAID = {
    "short": "Not {name}.",
    "sentence": "The {name} was lying under the table again.",
    "long": "When it got dark, we carried the {name} home, put it beside the stove, and waited for the others until late.",
    "numbers": "He bought twenty of them, and a {name} as well.",
    "question": "Have you seen the {name} anywhere?",
    "names": "Together with Amelia they looked for a {name}.",
}
NOUNS = [
    "basket",
    "ladder",
    "blanket",
    "candle",
    "mirror",
    "lantern",
    "kettle",
    "bottle",
    "hammer",
    "pillow",
    "ticket",
    "jacket",
]


def clip(
    number: int,
    said: str,
    recording: str = "a",
    speaker: str = "awb",
    language: str = "en",
    seconds: float = 3.0,
) -> CleanClip:
    return rows.clean_clip(
        number, text=said, recording_id=recording, speaker_id=speaker, language=language, end_s=seconds, duration_s=seconds
    )  # fmt: skip


def rich(**changes: str) -> list[CleanClip]:
    """Twelve clips of every kind, of three recordings."""
    return [
        clip(12 * at + number, said.format(name=noun), recording="abc"[number % 3], **changes)  # type: ignore[arg-type]
        for at, said in enumerate(SAID.values())
        for number, noun in enumerate(NOUNS)
    ]


def corpus(
    validation: list[CleanClip], *trained: str, barred: str | None = None, max_seconds: float = 20.0
) -> proposing.PackSources:
    train = pyarrow.table(
        {
            "clip_id": [f"t{at}" for at in range(len(trained))],
            "text": pyarrow.array(trained, pyarrow.string()),
        }
    )
    return proposing.PackSources(validation, train, frozenset([barred] if barred else []), max_seconds)


def kinds(some: list[records.PackLine]) -> Counter[str]:
    return Counter(line.stratum for line in some)


@pytest.mark.parametrize("num", [12, 24, 36])
def test_half_are_held_out_all_kinds_are_there_alike_and_in_the_first_six(num: int) -> None:
    made = proposing.propose(corpus(rich()), num, 1)
    held = [line for line in made.lines if line.is_held_out]
    assert len(made.lines) == num and len(held) == num // 2 and made.notes == []
    assert kinds(made.lines) == dict.fromkeys(STRATA, num // 6)
    assert kinds(held) == dict.fromkeys(STRATA, num // 12)
    for at in range(0, num, 6):
        assert {line.stratum for line in made.lines[at : at + 6]} == set(STRATA)
        assert sum(line.is_held_out for line in made.lines[at : at + 6]) == 3


def test_the_same_data_give_the_same_pack_in_any_order_and_another_seed_another() -> None:
    clips = rich()
    made = proposing.propose(corpus(clips), 24, 1).lines
    assert proposing.propose(corpus(clips[::-1]), 24, 1).lines == made
    assert proposing.propose(corpus(clips), 24, 2).lines != made


def _in_french(text: str) -> str:
    """Of the same kind, in something that looks French."""
    return f"Oui {text[0].lower()}{text[1:]}".replace("twenty", "vingt")


def test_languages_main_speakers_and_recordings_take_turns() -> None:
    french = [
        replace(one, clip_id=f"f{one.clip_id}", language="fr", speaker_id="bea", text=_in_french(one.text))
        for one in rich()
    ]
    made = proposing.propose(corpus([*rich(), *french]), 24, 1)
    held = [line for line in made.lines if line.is_held_out]
    assert Counter(line.language for line in held) == {"en": 6, "fr": 6}
    assert Counter(line.speaker for line in held) == {"awb": 6, "bea": 6}
    assert Counter(line.recording_id for line in held) == {"a": 4, "b": 4, "c": 4}
    written = Counter(line.language for line in made.lines if not line.is_held_out)
    assert written == {"en": 6, "fr": 6}


def test_a_speaker_with_few_clips_is_no_main_speaker() -> None:
    few = [
        clip(200 + number, f"Only a few words of mine, number {number}.", speaker="guest")
        for number in range(5)
    ]
    made = proposing.propose(corpus([*rich(), *few]), 24, 1)
    assert {line.speaker for line in made.lines} == {"awb", None}
    assert "5 validation clips are no lines: of a speaker with few clips." in made.notes


def test_no_line_was_trained_on() -> None:
    clips = rich()
    known = [line.text for line in lines.read(shipped.FOLDER / "en.jsonl")]
    trained = [*(one.text.upper() for one in clips[:40]), *known[:24], f"And then: {known[30]}"]
    made = proposing.propose(corpus(clips, *trained), 24, 1)
    said = {line.text.upper() for line in made.lines}
    assert (
        len(made.lines) == 24
        and not said & {one.upper() for one in trained}
        and known[30].upper() not in said
    )
    assert "25 written lines were left out, because they stand in the training text." in made.notes
    assert any(
        note.startswith("40 validation clips are no lines: in the training text") for note in made.notes
    )


def test_the_recording_that_the_base_hears_gives_no_line() -> None:
    made = proposing.propose(corpus(rich(), barred="a"), 24, 1)
    assert "a" not in {line.recording_id for line in made.lines}
    assert "24 validation clips are no lines: of a, which gives the base the speaker's voice." in made.notes


def test_what_cannot_be_filled_is_said_with_its_reason() -> None:
    clips = [one for one in rich() if one.text.startswith("The ")]
    made = proposing.propose(corpus(clips), 24, 1)
    assert kinds([line for line in made.lines if line.is_held_out]) == {"sentence": 12}
    assert set(kinds(made.lines)) == set(STRATA), "written lines fill the kinds that the speaker never said"
    told = "\n".join(made.notes)
    assert (
        "short: no held-out line, because no usable validation clip is of this kind (the shortest validation clip says 8 words"
        in told
    )
    assert "sentence: no" not in told and "names: no held-out line" in told


def test_too_few_clips_and_a_language_without_sentences_are_said() -> None:
    made = proposing.propose(corpus([clip(1, "Nobody knows about the basket.", language="is")]), 24, 1)
    assert [line.language for line in made.lines] == ["is"]
    told = "\n".join(made.notes)
    assert "is: no written lines are shipped (there are de, en," in told and "1 lines instead of 24" in told
    assert "1 held-out lines instead of 12" in told


def test_what_could_not_be_spoken_in_time_is_no_line() -> None:
    slow = [replace(one, end_s=6.0, duration_s=6.0) for one in rich()]
    made = proposing.propose(corpus(slow, max_seconds=8.0), 24, 1)
    assert max(len(line.text) for line in made.lines if not line.is_held_out) < 80
    assert all(not line.is_held_out for line in proposing.propose(corpus(slow, max_seconds=7.0), 24, 1).lines)


def test_a_line_that_must_be_in_it_is_in_it() -> None:
    for seed in range(3):
        made = proposing.propose(corpus(rich()), 24, seed, ["carrier", "en-short-4", "nobody"])
        assert {"carrier", "en-short-4"} <= {line.id for line in made.lines} and len(made.lines) == 24
        assert kinds(made.lines) == dict.fromkeys(STRATA, 4)
        assert any(note.startswith("not included: nobody") for note in made.notes)


# --- the commands ----------------------------------------------------------------------------------------------------


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    records.write(layout.split("validation"), rich())
    records.write(layout.split("train"), [clip(900, "Something else was said here.")])
    return tmp_path


def test_a_proposal_is_written_and_can_be_frozen(project: Path) -> None:
    done = run("lines", "propose", "--out", "lines/mine.jsonl", "--num", "12")
    assert "lines/mine.jsonl holds 12 lines, 6 of them held out" in done
    assert len(lines.read(Path("lines/mine.jsonl"))) == 12
    with pytest.raises(LinesError, match="exists"):
        run("lines", "propose", "--out", "lines/mine.jsonl")
    run("lines", "propose", "--out", "lines/mine.jsonl", "--num", "18", "--replace")
    pack = lines.read(Path("lines/mine.jsonl"))
    assert len(pack) == 18
    assert "named by no recipe yet" in run("lines", "freeze", "mine")
    params.edit({"recipes/mini-lora/listen/lines": "lines/mine.jsonl"})
    assert "pinned in recipes.mini-lora" in run("lines", "freeze", "mine")
    assert lines.of(params.load(), "mini-lora") == pack
    Path("lines/mine.jsonl").write_text(json.dumps(records.to_json(pack[0])) + "\n")
    with pytest.raises(LinesError, match="removed"):
        lines.of(params.load(), "mini-lora")
    with pytest.raises(LinesError, match="is frozen already"):
        run("lines", "freeze", "mine")


@pytest.mark.parametrize("out", ["mine.jsonl", "lines/mine.txt", "elsewhere/mine.jsonl"])
def test_a_pack_is_written_only_where_the_stages_look(project: Path, out: str) -> None:
    with pytest.raises(ParamsError, match="because the stages depend on that folder"):
        run("lines", "propose", "--out", out)


def test_nothing_is_proposed_before_the_split(project: Path) -> None:
    layout.split("train").unlink()
    with pytest.raises(RecordError, match=r"train\.jsonl is missing"):
        run("lines", "propose", "--out", "lines/mine.jsonl")
    assert columns.read(layout.split("validation"), CleanClip).num_rows == 72
