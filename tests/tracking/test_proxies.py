"""A real MLflow server behind a proxy: late answers to uploads, a path, a password; asked by the commands a person types."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from tests.factories.proxies import Proxy
from voicelathe.cli.machine import reaching
from voicelathe.errors import TrackingError
from voicelathe.tracking import artifacts, replay, store

RECIPE = "mini-lora"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with stores.server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The patience of a question, shorter than usual so that a test need not wait."""
    for module in (store, artifacts):
        monkeypatch.setattr(module, "QUESTION_S", "1")
    monkeypatch.setitem(store.ENVIRONMENT, store.PATIENCE, "1")
    monkeypatch.setenv(store.PATIENCE, "1")


@pytest.mark.slow
@pytest.mark.parametrize("late", [artifacts.LISTING, "lora_weights.safetensors"])
def test_a_server_that_acknowledges_uploads_late_is_waited_for(
    server: str, root: Path, monkeypatch: pytest.MonkeyPatch, short: None, late: str
) -> None:
    """It writes to a bucket before it answers; a question still gets a short patience."""
    del short
    proxy = Proxy(server, late=late, late_s=2.5)
    with proxy.running() as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        tracking = runs.tracking(experiment=f"late {late}")
        replay.mirror_all(RECIPE, tracking, root)
        assert store.os.environ[store.PATIENCE] == "1"
    sent = [path for path in proxy.uploads if path.endswith(late)]
    assert sent and len(sent) == len(set(sent)), "none was sent twice"


@pytest.mark.slow
def test_a_server_that_is_too_slow_for_a_chosen_patience_is_told_the_setting(
    server: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(store.PATIENCE, "2")
    with Proxy(server, late=artifacts.LISTING, late_s=30.0).running() as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        with pytest.raises(TrackingError, match="be more patient: MLFLOW_HTTP_REQUEST_TIMEOUT=300"):
            replay.mirror_all(RECIPE, runs.tracking(), root)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://anna:s3cret@127.0.0.1:{port}/mlflow", None),
        ("http://anna:s3cret@127.0.0.1:{port}/mlflow/", None),
        ("http://anna:wrong@127.0.0.1:{port}/mlflow", "refuses the user or the password (401)"),
        ("http://127.0.0.1:{port}/mlflow", "refuses the user or the password (401)"),
        ("http://anna:s3cret@127.0.0.1:{port}/elsewhere", "not at this path (404)"),
        ("http://anna:s3cret@127.0.0.1:{port}", "not at this path (404)"),
    ],
)
def test_a_path_and_a_password_in_the_address(server: str, address: str, said: str | None) -> None:
    with Proxy(server, prefix="/mlflow", user="anna:s3cret").running() as port:
        found = reaching.problem(address.format(port=port))
    assert found is None if said is None else (found is not None and said in found[0] and bool(found[1]))


def test_a_password_from_the_environment_or_the_home_directory(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with Proxy(server, user="anna:s3cret").running() as port:
        address = f"http://127.0.0.1:{port}"
        assert reaching.problem(address) is not None
        (tmp_path / ".mlflow").mkdir()
        lines = "[mlflow]\nmlflow_tracking_username = anna\nmlflow_tracking_password = s3cret\n"
        (tmp_path / reaching.CREDENTIALS).write_text(lines)
        assert reaching.problem(address) is None
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
        assert reaching.problem(address) is not None
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
        assert reaching.problem(address) is None


def test_an_address_that_nobody_answers_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = reaching.problem(f"http://anna:hunter2@127.0.0.1:{stores.free_port()}/mlflow")
    assert found is not None and "Connection refused" in found[0] and "hunter2" not in "".join(found)
    with stores.black_hole() as address:
        monkeypatch.setattr(reaching, "PATIENCE_S", 0.2)
        silent = reaching.problem(address)
    assert silent is not None and silent[0].startswith("no answer within")
    assert reaching.problem("postgresql://anna:hunter2@nowhere/db") is None
