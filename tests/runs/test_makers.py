"""Doctor says which machine ran which stage, and no output of a stage does."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from voicelathe import digest
from voicelathe.cli.machine import makers as said
from voicelathe.parallel import meeting
from voicelathe.runs import makers


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run_stage(folder: Path, script: str, body: str, *items: str) -> int:
    """As DVC runs one."""
    path = folder / f"{script}.py"
    path.write_text(f"from pipelines import run\n\ndef main():\n    {body}\n\nrun(main)\n")
    root = Path(__file__).parents[2]
    command = [sys.executable, str(path), *items]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(root)}, check=False).returncode


def test_a_stage_that_ends_well_leaves_its_machine_and_one_that_fails_leaves_the_former(
    tmp_path: Path,
) -> None:
    assert run_stage(tmp_path, "selection", "pass", "voice") == 0
    (made,) = makers.read()
    assert (made.stage, made.machines) == ("select@voice", [socket.gethostname()])
    failing = "from voicelathe.errors import GateError; raise GateError('no')"
    assert run_stage(tmp_path, "gate", failing) == 1
    assert makers.read() == [made]


def test_doctor_has_a_line_for_each_machine_and_one_for_machines_that_trained_together() -> None:
    for stage, machines, at in (
        ("ingest", ["a"], "2026-11-01T10:00:00+00:00"),
        ("train@voice", ["b", "c"], "2026-11-03T10:00:00+00:00"),
        ("encode@base", ["a"], "2026-11-02T10:00:00+00:00"),
    ):
        note = {"stage": stage, "machines": machines, "at": at}
        digest.write_json(makers.PLACE / f"{stage}.json", note)
    (makers.PLACE / "torn.json").write_text("{")
    first, second = said.made()
    assert first.what == "made on a" and first.seen == "encode@base, ingest (last 2026-11-02T10:00:00+00:00)"
    assert second.what == "made on b with c" and "train@voice" in second.seen


def test_machines_of_an_earlier_meeting_are_not_named_once_a_recipe_is_trained_alone() -> None:
    digest.write_json(meeting.PLACE / "voice" / meeting.MACHINES, ["c"])
    makers.note("train", ["voice"])
    assert makers.read()[0].machines == [socket.gethostname(), "c"]
    meeting.alone("voice")
    makers.note("train", ["voice"])
    assert makers.read()[0].machines == [socket.gethostname()]
