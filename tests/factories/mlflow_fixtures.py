"""A finished run in a project of its own, with an empty store, tracked or promoted; each is made once a session and copied.

MLflow needs four seconds to make its tables, so the empty database is kept in pytest's cache as long as MLflow's version stays.
"""

import functools
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.factories import mlflow_stores, runs
from voicelathe.registry import promote
from voicelathe.tracking import replay


@pytest.fixture(scope="session")
def empty_database(request: pytest.FixtureRequest) -> Path:
    assert request.config.cache is not None
    return _empty_database(request.config.cache.mkdir(f"mlflow-{version('mlflow')}"))


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _finished_project(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def tracked_project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Tracked under the policy `adapters`. To look at only; whoever changes something takes `project`."""
    return _tracked_project(tmp_path_factory.getbasetemp(), empty_database)


@pytest.fixture(scope="session")
def promoted_project(tmp_path_factory: pytest.TempPathFactory, tracked_project: Path) -> Path:
    """Version 1, the selected candidate, is in production. To look at only; whoever changes something takes `promoted`."""
    return _promoted_project(tmp_path_factory.getbasetemp(), tracked_project)


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


@pytest.fixture
def promoted(tmp_path: Path, promoted_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a tracked run whose selected candidate is in production as version 1."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return mlflow_stores.copy_tracked(promoted_project, tmp_path / "promoted")


# Several directories of tests use these fixtures; the caches make them share what is expensive.


@functools.cache
def _empty_database(cache: Path) -> Path:
    return mlflow_stores.empty_database(cache / "mlflow.db")


@functools.cache
def _finished_project(base: Path) -> Path:
    runs.finished(base / "finished" / "project")
    return base / "finished" / "project"


@functools.cache
def _tracked_project(base: Path, empty: Path) -> Path:
    root = base / "tracked" / "project"
    shutil.copytree(_finished_project(base), root)
    shutil.copy(empty, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        replay.mirror_all("mini-lora", runs.tracking(), root)
    return root


@functools.cache
def _promoted_project(base: Path, tracked: Path) -> Path:
    root = mlflow_stores.copy_tracked(tracked, base / "promoted" / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        promote.promote("mini-lora", root)
    return root
