"""A project of its own for each test, and the real command line run in it."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.factories import mlflow_stores
from voicelathe import cli

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a command did, as a shell sees it."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        return self.out + self.err


Run = Callable[..., Outcome]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped params.yaml in an empty directory, which is the current one."""
    directory = tmp_path / "project"
    directory.mkdir()
    shutil.copy(ROOT / "params.yaml", directory)
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `voicelathe ARGUMENTS` through its entry point; there is no terminal on either side."""

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["voicelathe", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(bool(left.code))
        caught = capfd.readouterr()
        return Outcome(code, caught.out, caught.err)

    return call


@pytest.fixture
def tracked(tmp_path: Path, tracked_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of mini-lora that is in MLflow; nothing is in production."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = mlflow_stores.copy_tracked(tracked_project, tmp_path / "project")
    monkeypatch.chdir(root)
    return root
