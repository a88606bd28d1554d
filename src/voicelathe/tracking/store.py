"""Where is MLflow, and how is it reached without a hang and without ever printing a password? The door to mlflow.

MLFLOW_TRACKING_URI chooses a server; without it everything lies in the project: mlflow.db (sqlite) and mlruns/.
MLflow itself waits about four minutes for a dead server, tells its makers about every call and prints a server's
address with the password in it; all three are switched off here, before the first import.
"""

import contextlib
import importlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from voicelathe.config import schema
from voicelathe.errors import TrackingError
from voicelathe.redaction import public, redacted
from voicelathe.runs import experiments
from voicelathe.tracking import relocation

DATABASE = "mlflow.db"
ARTIFACTS = "mlruns"
PATIENCE = "MLFLOW_HTTP_REQUEST_TIMEOUT"  # seconds
QUESTION_S = "5"  # for a question; files have MLflow's own (see `artifacts`)
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    PATIENCE: QUESTION_S,
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would print the password, too
    "GIT_PYTHON_REFRESH": "quiet",
}
BATCH = 1000  # the most metrics MLflow takes in one call


@dataclass(frozen=True)
class Store:
    """An experiment of an MLflow store that has answered."""

    client: Any
    uri: str = field(repr=False)  # may hold a password
    experiment_id: str
    experiment: str

    @property
    def shown(self) -> str:
        """The address as it may be printed."""
        return public(self.uri)


def address(root: Path) -> str:
    """The tracking URI: absolute, whatever directory a stage runs in.

    An experiment of `dvc exp run --temp` works in a copy below .dvc/tmp that is deleted afterwards; its store is the
    project's. Raises TrackingError for plain paths, which MLflow no longer takes.
    """
    home = experiments.project_of(root.resolve())
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or f"sqlite:///{DATABASE}"
    if uri.startswith("sqlite:///"):
        return f"sqlite:///{home / uri.removeprefix('sqlite:///')}"
    if "://" not in uri or uri.startswith("file:"):
        raise TrackingError(
            f"MLFLOW_TRACKING_URI = {public(uri)}: MLflow keeps no runs in plain folders any more. Give a server "
            "(http://host:port) or a database (sqlite:////absolute/path.db), or unset it for the project's own store."
        )
    return uri


def shown(root: Path) -> str:
    """The tracking URI as it may be printed."""
    return public(address(root))


def is_embedded(uri: str) -> bool:
    return uri.startswith("sqlite:")


def connect(tracking: schema.Tracking, root: Path) -> Store:
    """Open the store and the experiment, made at the first call. Raises TrackingError when it does not answer.

    Cost: 2 s of import, 4 s more when the database does not exist yet.
    """
    uri = address(root)
    settle(tracking, root)
    with usable(uri):
        client = client_of(uri)
        artifacts = (
            (experiments.project_of(root.resolve()) / ARTIFACTS).as_uri() if is_embedded(uri) else None
        )
        experiment_id = _experiment(client, tracking.experiment, artifacts)
    return Store(client, uri, experiment_id, tracking.experiment)


def settle(tracking: schema.Tracking, root: Path) -> None:
    """Correct the addresses of an embedded store whose project was moved or copied. Raises TrackingError when that cannot be done."""
    if (moved := moved_from(tracking, root)) is not None:
        relocation.settle(moved)


def moved_from(tracking: schema.Tracking, root: Path) -> relocation.Moved | None:
    """What an embedded store of this project names as its folder, when that is another one."""
    uri, home = address(root), experiments.project_of(root.resolve())
    database = Path(uri.removeprefix("sqlite:///"))
    if not is_embedded(uri) or database.parent != home:
        return None
    return relocation.look(database, home / ARTIFACTS, tracking.experiment)


def mlflow(module: str = "mlflow") -> Any:
    """Import mlflow, or a module of it, with its surroundings set first."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    return importlib.import_module(module)


def client_of(uri: str) -> Any:
    """A client of this address that leaves MLflow's process-wide settings alone."""
    if is_embedded(uri):
        path = Path(uri.removeprefix("sqlite:///"))
        _create_database(path)
        require_database(path)
    return mlflow().MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def usable(uri: str) -> Iterator[None]:
    """Turn every failure of MLflow into a TrackingError that names the address and what to do."""
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ModuleNotFoundError as problem:
        raise TrackingError(
            f"MLflow at {public(uri)} needs the package {problem.name}, which is not installed. Install it, or correct MLFLOW_TRACKING_URI."
        ) from None
    except (mlflow("mlflow.exceptions").MlflowException, RequestException, SQLAlchemyError) as problem:
        raise TrackingError(
            f"MLflow at {public(uri)} cannot be used: {reason(problem)}. {remedy(problem)}"
        ) from None


def remedy(problem: BaseException) -> str:
    """What to do about a failed call: a dead server, a busy database and one without permission want different things."""
    said = str(problem).lower()
    again = "then run the same command again. Nothing local is lost."
    if "readonly database" in said or "read-only" in said:
        return f"This user may not write it: correct the permissions of the file and its directory, {again}"
    if "database is locked" in said or "database is busy" in said:
        return f"Another process is writing it: wait until it has ended, {again} Never move the database aside: production's alias is in it."
    if "timed out" in said or "timeout" in said:
        return (
            f"It did not answer in time. If it is slow and not dead, be more patient: {PATIENCE}=300 (seconds); else start it or correct "
            f"MLFLOW_TRACKING_URI, {again}"
        )
    if "database schema" in said:
        return (
            "Another version of MLflow made it. An older one: keep a copy of the database and bring it up to date, once (mlflow db upgrade, "
            f"with the address above), {again} A newer one: use the release that it came with."
        )
    if is_absent(problem):
        return "It runs, but what was asked for is not there; is it the right one (MLFLOW_TRACKING_URI)? See: voicelathe status"
    return f"Start it or correct MLFLOW_TRACKING_URI (unset it for the project's own store), {again}"


def reason(problem: BaseException) -> str:
    """The short cause of a failed call, without credentials."""
    lines = redacted(str(problem)).strip().splitlines()
    said = lines[0] if lines else "no message"
    return f"{type(problem).__name__}: {said[:300]}{' …' if len(said) > 300 else ''}"


def is_absent(problem: BaseException) -> bool:
    """Whether MLflow says that a thing does not exist, and not that something is wrong."""
    return getattr(problem, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"


def _create_database(path: Path) -> None:
    """Make the database under another name first, so that a kill leaves it whole or absent and two makers get one."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    mlflow().MlflowClient(tracking_uri=f"sqlite:///{partial}").search_experiments(max_results=1)
    try:
        os.link(partial, path)
    except FileExistsError:
        pass  # another process was faster
    finally:
        partial.unlink()


def require_database(path: Path) -> None:
    """Raises TrackingError for a file that cannot be opened; MLflow would try for 100 seconds, holding a lock."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as database:
            database.execute("pragma schema_version")
    except sqlite3.Error as problem:
        if any(said in str(problem) for said in ("locked", "busy", "readonly")):
            raise TrackingError(f"{path}: {problem}. {remedy(problem)}") from None
        raise TrackingError(
            f"{path} cannot be opened as MLflow's database ({problem}). Correct its permissions or move it aside; "
            "`dvc repro -f -s track@RECIPE` makes it again from local files."
        ) from None


def _experiment(client: Any, name: str, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            made: str = client.create_experiment(name, artifact_location=artifacts)
        except mlflow("mlflow.exceptions").MlflowException as problem:
            if problem.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return _experiment(client, name, artifacts)  # another process was faster
        client.set_experiment_tag(made, "mlflow.experimentKind", "custom_model_development")
        return made
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"tracking.experiment = {name!r} was deleted in MLflow. Bring it back "
            f"(mlflow experiments restore --experiment-id {found.experiment_id}) or choose another name."
        )
    if artifacts is not None and found.artifact_location != artifacts:
        raise TrackingError(
            f"{public(found.artifact_location)} is where the experiment {name!r} of this database keeps its files, but this project's are in "
            f"{artifacts}: another project made it. Choose another tracking.experiment, or unset MLFLOW_TRACKING_URI."
        )
    experiment_id: str = found.experiment_id
    return experiment_id
