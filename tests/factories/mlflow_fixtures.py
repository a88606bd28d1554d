"""A finished run in a project of its own, with an empty store, tracked or promoted; each is made once a session and copied.

MLflow needs four seconds to make its tables, so the empty database is kept in pytest's cache as long as MLflow's version stays.
"""

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
    return mlflow_stores.empty_database(request.config.cache.mkdir(f"mlflow-{version('mlflow')}"))


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("finished") / "project"
    runs.finished(made)
    return made


@pytest.fixture(scope="session")
def tracked_project(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, finished_project: Path
) -> Path:
    """Tracked under the policy `adapters`. To look at only; whoever changes something takes `project`."""
    made = tmp_path_factory.mktemp("tracked") / "project"
    shutil.copytree(finished_project, made)
    shutil.copy(empty_database, made / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        replay.mirror_all("mini-lora", runs.tracking(), made)
    return made


@pytest.fixture(scope="session")
def promoted_project(tmp_path_factory: pytest.TempPathFactory, tracked_project: Path) -> Path:
    """Version 1, the selected candidate, is in production. To look at only; whoever changes something takes `promoted`."""
    made = mlflow_stores.copy_tracked(tracked_project, tmp_path_factory.mktemp("promoted") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        promote.promote("mini-lora", made)
    return made


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
