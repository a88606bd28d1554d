"""Commands on rows, as a user runs them in a project."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.factories import rows
from voicelathe import layout, params, records
from voicelathe.cli import app
from voicelathe.data import frozen, splits, tables
from voicelathe.errors import GateError, ParamsError, SplitError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and the split of twenty recordings."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    for name, clips in splits.assign(rows.recordings(20), rows.SPLIT, 1).clips.items():
        records.write(layout.split(name), clips)
    return tmp_path


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_frozen_split_is_kept_and_holds_when_recordings_are_added(project: Path) -> None:
    assert "Add both to git" in run("freeze", "spring")
    settings = params.load().split
    assert settings.frozen == "spring"
    grown = splits.assign(rows.recordings(40), settings, 9, frozen=frozen.read("spring"))
    tested = {clip.clip_id for clip in records.read(layout.split("test"), records.CleanClip)}
    assert tested and tested <= {clip.clip_id for clip in grown.clips["test"]}


def test_a_frozen_split_is_never_overwritten(project: Path) -> None:
    run("freeze", "spring")
    with pytest.raises(SplitError, match="choose another name"):
        run("freeze", "spring")
    with pytest.raises(ParamsError, match="lower-case"):
        run("freeze", "../elsewhere")


def test_there_is_nothing_to_freeze_before_the_split(project: Path) -> None:
    layout.split("test").unlink()
    with pytest.raises(SplitError, match="dvc repro split"):
        run("freeze", "spring")


def test_a_look_at_the_raw_manifest_names_the_failing_clips(project: Path) -> None:
    known = [rows.manifest_row(n, text="" if n == 7 else rows.SENTENCE) for n in range(1, 121)]
    records.write(layout.MANIFEST, known)
    tables.write(layout.MEASURES, [rows.measured(n) for n in range(1, 121)])
    said = run("gate", "--report-only")
    assert "no_empty_text: 1 of 120 rows, c0007" in said and "2 of " in said
    assert "c0007" in layout.RAW_GATE_REPORT.read_text() and not layout.GATE.exists()


def test_the_gate_itself_is_no_command(project: Path) -> None:
    with pytest.raises(GateError, match="dvc repro gate"):
        run("gate")
