"""A finished run in a project of its own, with an empty store or tracked; each is made once a session and copied."""

import functools
import shutil
from pathlib import Path

import pytest

from tests.factories import mlflow_stores, runs
from voicelathe.tracking import replay


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _empty_database(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _finished_project(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def tracked_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _tracked_project(tmp_path_factory.getbasetemp())


@pytest.fixture
def root(
    tmp_path: Path, empty_database: Path, finished_project: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the finished project with an empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(finished_project, tmp_path / "project")
    shutil.copy(empty_database, tmp_path / "project" / "mlflow.db")
    return tmp_path / "project"


@pytest.fixture
def project(tmp_path: Path, tracked_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a finished run that is tracked, with nothing in production."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return mlflow_stores.copy_tracked(tracked_project, tmp_path / "project")


# Two directories of tests use these fixtures; the caches make them share what is expensive.


@functools.cache
def _empty_database(base: Path) -> Path:
    return mlflow_stores.empty_database(base / "empty-mlflow" / "mlflow.db")


@functools.cache
def _finished_project(base: Path) -> Path:
    runs.finished(base / "finished" / "project")
    return base / "finished" / "project"


@functools.cache
def _tracked_project(base: Path) -> Path:
    root = base / "tracked" / "project"
    shutil.copytree(_finished_project(base), root)
    shutil.copy(_empty_database(base), root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        replay.mirror_all("mini-lora", runs.tracking(), root)
    return root
