"""A finished run in a project of its own, and an empty MLflow database that is made once and copied."""

import shutil
from pathlib import Path

import pytest

from tests.factories import mlflow_stores, runs


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mlflow_stores.empty_database(tmp_path_factory.mktemp("mlflow") / "mlflow.db")


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished") / "project"
    runs.finished(root)
    return root


@pytest.fixture
def root(
    tmp_path: Path, empty_database: Path, finished_project: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the finished project with an empty store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "project"
    shutil.copytree(finished_project, root)
    shutil.copy(empty_database, root / "mlflow.db")
    return root
