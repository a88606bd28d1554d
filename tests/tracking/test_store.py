"""Where MLflow is, and what is said when it is not."""

import contextlib
import multiprocessing
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories.runs import tracking
from voicelathe.errors import TrackingError
from voicelathe.redaction import public, scrub
from voicelathe.tracking import store

SECRET_URI = "https://anna:hunter2@mlflow.example.org:5000/team?token=abc"


def test_without_a_setting_the_store_is_a_database_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.address(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.chdir(tmp_path)
    assert store.address(Path()) == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_relative_database_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/here.db")
    assert store.address(tmp_path) == f"sqlite:///{tmp_path}/runs/here.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere/here.db")
    assert store.address(tmp_path) == "sqlite:////elsewhere/here.db"


def test_an_experiment_in_a_temporary_copy_keeps_its_runs_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmpabc"
    assert store.address(copy) == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_plain_folder_is_refused_with_what_to_write_instead(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(TrackingError, match="sqlite:////absolute"):
        store.address(tmp_path)


def test_no_address_is_shown_with_its_password() -> None:
    assert public(SECRET_URI) == "https://mlflow.example.org:5000/team"
    assert scrub(f"API request to {SECRET_URI} failed") == (
        "API request to https://mlflow.example.org:5000/team?token=*** failed"
    )
    assert "hunter2" not in repr(store.Store(None, SECRET_URI, "1", "x"))


def test_a_dead_server_is_an_error_that_names_it_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:hunter2@127.0.0.1:{stores.free_port()}")
    began = time.monotonic()
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:\d+ cannot be used") as caught:
        store.connect(tracking(), tmp_path)
    assert time.monotonic() - began < 60  # MLflow's own patience is many minutes
    assert "hunter2" not in str(caught.value) and "run the same command again" in str(caught.value)


def test_a_moved_project_takes_its_store_along(root: Path) -> None:
    opened = store.connect(tracking(), root)
    run = opened.client.create_run(opened.experiment_id)
    opened.client.log_text(run.info.run_id, "kept", "note.txt")
    moved = root.with_name("moved")
    root.rename(moved)
    again = store.connect(tracking(), moved)
    assert again.experiment_id == opened.experiment_id
    found = again.client.get_run(run.info.run_id)
    assert found.info.artifact_uri.startswith(f"{(moved / 'mlruns').as_uri()}/")
    place = again.client.download_artifacts(run.info.run_id, "note.txt")
    assert Path(place).read_text() == "kept"


def test_a_store_of_another_project_is_not_taken_over(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database outside the project may be shared; its addresses are not this project's to change."""
    store.connect(tracking(), root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
    (tmp_path / "other").mkdir()
    with pytest.raises(TrackingError, match="another project made it"):
        store.connect(tracking(), tmp_path / "other")


def test_a_deleted_experiment_is_told_how_to_come_back(root: Path) -> None:
    opened = store.connect(tracking(), root)
    opened.client.delete_experiment(opened.experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore"):
        store.connect(tracking(), root)


@pytest.mark.slow
def test_two_processes_that_make_the_database_at_once_get_the_same_experiment(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        experiments = pool.map(_connect, [tmp_path, tmp_path])
    assert experiments[0] == experiments[1]
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def _connect(root: Path) -> str:
    return store.connect(tracking(), root).experiment_id


def test_a_damaged_database_is_told_at_once_and_not_after_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    began = time.monotonic()
    with pytest.raises(TrackingError, match=r"file is not a database.*move it aside"):
        store.connect(tracking(), tmp_path)
    assert time.monotonic() - began < 10


def older_store(database: Path) -> str:
    """A store as the MLflow before this one made it, by its own migrations. Returns its address."""
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    uri = f"sqlite:///{database}"
    engine = create_engine(uri)
    Base.metadata.create_all(engine)
    config = utils._get_alembic_config(uri)
    script = ScriptDirectory.from_config(config)
    before = script.get_revision(script.get_current_head()).down_revision
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, before)
    engine.dispose()
    return uri


def test_a_store_of_an_older_mlflow_is_migrated_when_it_is_opened(tmp_path: Path) -> None:
    """As MLflow does where tables are missing, which the step before this version added."""
    uri = older_store(tmp_path / "mlflow.db")
    with store.usable(uri):
        assert [one.name for one in store.client_of(uri).search_experiments()] == ["Default"]


def test_a_store_of_another_mlflow_that_is_not_migrated_by_itself_says_what_to_do(tmp_path: Path) -> None:
    store.client_of(f"sqlite:///{tmp_path}/made.db")
    shutil.copy(tmp_path / "made.db", tmp_path / "found.db")  # MLflow looks at each address once
    uri = f"sqlite:///{tmp_path}/found.db"
    with contextlib.closing(sqlite3.connect(tmp_path / "found.db")) as database, database:
        database.execute("update alembic_version set version_num = 'of a later one'")
    with pytest.raises(TrackingError) as caught, store.usable(uri):
        store.client_of(uri).search_experiments()
    said = str(caught.value)
    assert uri in said and "mlflow db upgrade" in said and "use the release" in said
    assert "Start it" not in said  # there is no server
