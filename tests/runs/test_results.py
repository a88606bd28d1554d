"""One reader of checkpoints.json: what is damaged or of elsewhere is an error in one sentence, whoever asks."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.factories import evaluations as make
from voicelathe import digest, records
from voicelathe.errors import RecordError
from voicelathe.evaluate.compare import comparing
from voicelathe.runs import results
from voicelathe.stages import selection
from voicelathe.tracking import files

KNOWN = make.candidates(10, 20)
INDEX = Path("runs") / make.RECIPE / "checkpoints.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe up to its selection."""
    root = tmp_path_factory.mktemp("made")
    rows = make.paired_losses({one: {"diff": 0.9 - 0.01 * one.step, "stop": 0.1} for one in KNOWN})
    make.write_run(root, KNOWN, rows, make.samples(KNOWN, make.LINES, root=root, seconds=0.1))
    chosen, _ = selection.select(make.RECIPE, make.SELECT, root, "")
    digest.write_json(root / INDEX.with_name("selection.json"), records.to_json(chosen))
    return root


@pytest.fixture
def finished(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    return root


READERS: dict[str, Callable[[Path], object]] = {
    "results": lambda _: results.read(make.RECIPE),
    "select": lambda root: selection.select(make.RECIPE, make.SELECT, root, ""),
    "compare": lambda root: comparing.read(make.RECIPE, root),
    "track": lambda root: files.read(make.RECIPE, root),
}
DAMAGE = {
    "cut off": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "a list": lambda text: "[]",
    "without checkpoints": lambda text: '{"run_digest": "d"}',
    "a checkpoint of elsewhere": lambda text: text.replace("checkpoints/x/step_0000020", "../../x/step_20"),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_knows_the_checkpoints_of_a_finished_recipe(finished: Path, reader: str) -> None:
    assert READERS[reader](finished)
    _, listed = results.read(make.RECIPE)
    assert [one.step for one in listed] == [0, 10, 20]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_index_is_an_error_that_names_the_file(finished: Path, reader: str, damage: str) -> None:
    whole = (finished / INDEX).read_text()
    damaged = DAMAGE[damage](whole)
    assert damaged != whole
    (finished / INDEX).write_text(damaged)
    with pytest.raises(RecordError, match=r"checkpoints\.json"):
        READERS[reader](finished)


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_index_is_an_error_that_names_the_file(finished: Path, reader: str) -> None:
    (finished / INDEX).unlink()
    with pytest.raises(RecordError, match=r"checkpoints\.json is missing"):
        READERS[reader](finished)
