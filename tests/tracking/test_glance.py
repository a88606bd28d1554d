"""Looking at the registry without MLflow says what MLflow says."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from voicelathe.errors import TrackingError
from voicelathe.registry import promote
from voicelathe.tracking import glance
from voicelathe.tracking.registered import Registered
from voicelathe.tracking.store import connect

NAME = "voicelathe"


def asked(root: Path) -> glance.Seen:
    """MLflow's own answer."""
    models = Registered(connect(runs.tracking(), root), NAME)
    return glance.Seen(models.aliases(), models.all_tags())


def test_what_is_seen_is_what_mlflow_says(promoted: Path) -> None:
    promote.promote("mini-lora", promoted, "warmer", "step_0000020")
    promote.promote("mini-lora", promoted, "brighter", "step_0000030")
    client = stores.client(promoted)
    client.delete_model_version(NAME, "1")
    client.set_registered_model_alias(NAME, "trial", "2")
    client.create_registered_model("another")
    seen = glance.look(runs.tracking(), promoted)
    assert seen == asked(promoted)
    assert seen.aliases == {"production": "3", "previous": "2", "candidate": "3", "trial": "2"}
    assert set(seen.tags) == {"2", "3"} and seen.tags["3"]["voicelathe.candidate"] == "step_0000030@1"


def test_a_database_of_another_mlflow_is_asked_through_mlflow(
    promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = glance.look(runs.tracking(), promoted)
    with sqlite3.connect(promoted / "mlflow.db") as database:
        (revision,) = database.execute("select version_num from alembic_version").fetchone()
    assert revision == glance.LAYOUT, "another MLflow is installed: look at its tables, then change LAYOUT"
    monkeypatch.setattr(glance, "LAYOUT", "another")
    assert glance.look(runs.tracking(), promoted) == seen


def test_nothing_is_seen_and_nothing_made_where_there_is_no_store(
    tmp_path: Path, finished_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = Path(shutil.copytree(finished_project, tmp_path / "project"))
    assert glance.look(runs.tracking(), root) == glance.Seen({}, {})
    assert not (root / "mlflow.db").exists()
    (root / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(TrackingError, match="not a database"):
        glance.look(runs.tracking(), root)


def test_production_is_verified_without_importing_mlflow(promoted: Path) -> None:
    """Importing it takes longer than everything else."""
    code = """if True:
        import sys
        from pathlib import Path
        from voicelathe.registry import verify
        walk = verify.verify("models:/voicelathe@production", Path(sys.argv[1]))
        assert walk.broken is None and walk.num_links > 60, walk
        assert not {"mlflow", "torch", "great_expectations"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", code, str(promoted)], check=True, timeout=60)
