"""`voicelathe recogniser`: a Whisper is pinned in params.yaml, or refused with the file and the remedy."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.factories import recognisers
from voicelathe import layout, records
from voicelathe.config import params
from voicelathe.records import RecogniserFacts
from voicelathe.speech import recogniser_files


def test_a_directory_is_entered_shown_and_checked(project: Path, run: Run) -> None:
    recognisers.sketch(project / "models/small")
    refused = run("recogniser", "add", "models/small")
    assert refused.code == 1 and "is another one" in refused.err and "--replace" in refused.err
    before = Path("params.yaml").read_text()
    done = run("recogniser", "add", "models/small", "--replace", "--language", "de")
    assert done.code == 0, done.told
    chosen = params.load().speech.recogniser
    assert chosen is not None and (chosen.model, chosen.licence, chosen.languages) == (
        "models/small",
        "MIT",
        ["de"],
    )
    assert records.read_one(layout.RECOGNISER, RecogniserFacts) == recogniser_files.pinned(chosen)
    assert chosen.digest in done.out and "Commit both" in done.out
    comments = [line.partition("#")[2] for line in before.splitlines() if "#" in line]
    assert all(comment in Path("params.yaml").read_text() for comment in comments)
    assert run("recogniser", "check").out.startswith("models/small: 5 files as pinned")


def test_the_package_declares_its_licence(project: Path, run: Run) -> None:
    done = run("recogniser", "add", recognisers.PACKAGE)
    assert done.code == 0 and "MIT" in done.out, done.told
    assert (
        params.load().speech.recogniser
        == params.load(Path(__file__).parents[2] / "params.yaml").speech.recogniser
    )


def test_from_null_and_back(project: Path, run: Run) -> None:
    params.edit({"speech/recogniser": None})
    assert "PocketSphinx stands in" in run("recogniser", "check").out
    recognisers.sketch(project / "small")
    assert run("recogniser", "add", "small").code == 0
    chosen = params.load().speech.recogniser
    assert chosen is not None and chosen.languages is None
    (project / "small/config.json").write_text("{}")
    checked = run("recogniser", "check")
    assert checked.code == 1 and "config.json: changed" in checked.err


@pytest.mark.parametrize(
    "spoil, arguments, said",
    [
        (lambda folder: (folder / "model.bin").unlink(), (), "model.bin: missing"),
        (lambda folder: (folder / "README.md").unlink(), (), "--licence MIT"),
        (lambda folder: None, ("--language", "fr"), "this model does not know it"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(
    project: Path, run: Run, spoil: object, arguments: tuple[str, ...], said: str
) -> None:
    before = Path("params.yaml").read_bytes()
    spoil(recognisers.sketch(project / "small"))  # type: ignore[operator]
    refused = run("recogniser", "add", "small", "--replace", *arguments)
    assert refused.code == 1 and said in refused.err
    assert Path("params.yaml").read_bytes() == before and not layout.RECOGNISER.exists()


def test_doctor_names_a_recogniser_that_changed_and_one_that_is_not_there(project: Path, run: Run) -> None:
    recognisers.sketch(project / "small")
    assert run("recogniser", "add", "small", "--replace").code == 0
    assert "recogniser" in run("doctor").out
    (project / "small/tokenizer.json").write_text("{}")
    told = run("doctor").told
    assert "is not the recogniser that was pinned" in told and "tokenizer.json: changed" in told
    params.edit({"speech/recogniser": None})
    assert "PocketSphinx stands in" in run("doctor").told
