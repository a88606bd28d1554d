"""Commands on rows, as a user runs them in a project."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.factories import rows, runs
from voicelathe import layout, records
from voicelathe.cli import app
from voicelathe.config import params
from voicelathe.data import tables
from voicelathe.data.references import pairs, planning
from voicelathe.data.split import assign, frozen
from voicelathe.errors import GateError, ParamsError, SplitError
from voicelathe.train import batches

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and the split of twenty recordings."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    records.write(layout.LINES / "demo.jsonl", runs.pack(runs.LINES))
    for name, clips in assign.assign(rows.recordings(20), rows.SPLIT, 1).clips.items():
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
    grown = assign.assign(rows.recordings(40), settings, 9, frozen=frozen.read("spring"))
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


def step(number: int, clips: list[str], *signs: str) -> records.StepRecord:
    return records.StepRecord(number, {"diff": 1.0}, 1.0, 1.0, {}, 0.1, clips, {}, list(signs))


def test_a_bad_row_planted_in_a_step_that_stands_out_is_named(project: Path) -> None:
    known = [rows.manifest_row(n, text="" if n == 4 else rows.SENTENCE) for n in range(1, 7)]
    records.write(layout.MANIFEST, known)
    tables.write(
        layout.FINDINGS,
        [records.Finding("c0004", "empty_text", "critical", "drop", '""', "1 letter or digit")],
    )
    steps = [
        step(1, ["c0001", "c0002"]),
        step(2, ["c0003", "c0004"], "stop_loss_spike: 9.000"),
        step(3, ["c0004", "c0005"], "stop_loss_spike: 8.000"),
    ]
    records.write(layout.run("mini-lora", "steps.jsonl"), steps)
    said = run("spikes", "mini-lora").splitlines()
    assert said[0] == "step 2: stop_loss_spike: 9.000"
    assert said[1] == '  c0004 line 4 "" (in 2 of its 2 steps); empty_text ("")'
    assert "c0003 line 3" in said[2] and said[-1] == "mini-lora: 2 of 3 steps stand out"


def test_every_step_that_would_hold_a_bad_row_is_named(project: Path) -> None:
    known = [rows.manifest_row(n) for n in range(1, 241)]
    records.write(layout.MANIFEST, known)
    bad = [records.Quarantined(n, f"c{n:04d}", None, None, None, ["empty_text"], [""]) for n in range(1, 25)]
    records.write(layout.QUARANTINE, bad)
    said = run("contamination", "--steps").splitlines()
    recipe = params.load().recipes["mini-lora"].train
    ids = [row.clip_id for row in known]
    expected = [
        number
        for number in range(1, recipe.steps + 1)
        if {f"c{n:04d}" for n in range(1, 25)}
        & set(batches.Order(ids, recipe.clips_per_step, params.load().seed).of_step(number))
    ]
    assert said[2].split() == [str(number) for number in expected]
    assert f"mini-lora: {len(expected)} of {recipe.steps} steps of 8 clips" in said[1]
    assert "by 1 - (1 - p)^N 56.95%" in said[1]  # 1 - 0.9^8


def test_a_bad_row_is_met_as_a_reference_too(project: Path) -> None:
    known = [replace(rows.manifest_row(n), recording_id=f"r{n % 9}") for n in range(1, 241)]
    records.write(layout.MANIFEST, known)
    bad = {f"c{n:04d}" for n in range(1, 25)}
    quarantined = [records.Quarantined(1, one, None, None, None, ["empty_text"], [""]) for one in sorted(bad)]
    records.write(layout.QUARANTINE, quarantined)
    without = run("contamination", "--steps").splitlines()
    edited = Path("params.yaml").read_text().replace("reference_share: 0.0", "reference_share: 0.5", 1)
    Path("params.yaml").write_text(edited)
    said = run("contamination", "--steps").splitlines()
    settings = params.load()
    train, ids = settings.recipes["mini-lora"].train, [row.clip_id for row in known]
    paired = pairs.Pairs(planning.of_raw(known, bad), 0.5, settings.seed)
    expected = []
    for number in range(1, train.steps + 1):
        clips = batches.Order(ids, train.clips_per_step, settings.seed).of_step(number)
        if bad & {*clips, *paired.of_step(clips, number).values()}:
            expected.append(str(number))
    assert said[2].split() == expected and set(without[2].split()) < set(expected)
    assert "steps of 8 clips and references of 50% of them hold a bad row" in said[1]
    assert "by 1 - (1 - p)^N 71.76%" in said[1]  # 1 - 0.9^12
    assert said[3] == without[3], "the other recipe trains without"


def test_a_bad_row_whose_audio_other_rows_name_as_their_reference_is_met_with_each_of_them(
    project: Path,
) -> None:
    known = [replace(rows.manifest_row(n), ref_audio=rows.manifest_row(5).audio) for n in range(1, 241)]
    records.write(layout.MANIFEST, known)
    records.write(
        layout.QUARANTINE, [records.Quarantined(5, "c0005", None, None, None, ["empty_text"], [""])]
    )
    edited = Path("params.yaml").read_text().replace("reference_share: 0.0", "reference_share: 1.0", 1)
    Path("params.yaml").write_text(edited)
    steps = params.load().recipes["mini-lora"].train.steps
    assert f"mini-lora: {steps} of {steps} steps of 8 clips" in run("contamination")


def test_all_steps_in_one_go_are_those_of_the_trainer() -> None:
    ids = [f"c{n}" for n in range(13)]
    for size in (1, 5, 13, 31):
        one_by_one = [batches.Order(ids, size, 7).of_step(number) for number in range(1, 12)]
        assert list(batches.every_step(ids, 11, size, 7)) == one_by_one
