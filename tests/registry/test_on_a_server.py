"""The same against a real MLflow server that keeps runs and artifacts on its own side: path sources are refused there."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from voicelathe import digest
from voicelathe.errors import CheckpointError, PromotionError
from voicelathe.registry import promote, promoted, say, verify
from voicelathe.tracking import registered, replay, store
from voicelathe.tracking.live import Mirror

RECIPE, NAME = "mini-lora", "voicelathe"


SECRETS = {
    "MLFLOW_TRACKING_TOKEN": "tok-3f1c99",
    "AWS_SECRET_ACCESS_KEY": "aws-9b2ce1",
    "HF_TOKEN": "hf_7Q2mZx",
    "MLFLOW_S3_ENDPOINT_URL": "https://u:s3-44aa@s3.example.org",
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(directory: Path, empty_database: Path) -> Iterator[str]:
    (directory / "server.db").write_bytes(empty_database.read_bytes())
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(stores.server(directory))


def test_a_run_lives_on_a_server_from_its_first_step_to_production(
    server: str,
    directory: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    server = server.replace("http://", "http://anna:hunter2@")
    for name, value in {"MLFLOW_TRACKING_URI": server, **SECRETS}.items():
        monkeypatch.setenv(name, value)
    planned = runs.planned(root)
    steps, timings = runs.journals(60)
    for name in ("steps.jsonl", "timings.jsonl"):
        (root / planned.directory / name).unlink()
    with Mirror(runs.tracking(), planned, root, every_s=0.1) as mirror:
        runs.append(root / planned.directory, steps[:30], timings[:30])
        time.sleep(1.0)
        runs.append(root / planned.directory, steps[30:], timings[30:])
    assert not mirror.degraded
    first = replay.mirror_all(RECIPE, runs.tracking(), root)
    assert replay.mirror_all(RECIPE, runs.tracking(), root) == first

    client = store.connect(runs.tracking(), root).client
    run = stores.only_run(client)
    curve = stores.history(client, run.info.run_id, "train/loss_total")
    assert curve == [(step.step, step.total) for step in steps] and run.info.status == "FINISHED"
    models = stores.models(client)
    assert len(models) == 7
    assert {m.key: m.value for m in models["step_0000040"].metrics}["val/loss_total"] == pytest.approx(0.85)
    sample = client.download_artifacts(run.info.run_id, "samples/step_0000040/short-42.wav", str(root))
    assert digest.of_file(Path(sample)) == digest.of_file(
        root / planned.directory / "speech/step_0000040@1/short-42.wav"
    )
    assert not (root / "mlruns").exists(), "artifacts belong to the server"

    assert promote.promote(RECIPE, root).version == "1"
    assert promote.promote(RECIPE, root, "warmer", "step_0000020").version == "2"
    assert promote.rollback(root, "no, the other").version == "1"
    assert promoted.status(root).state == "in production"
    assert verify.verify(f"models:/{NAME}@production", root).broken is None
    with pytest.raises(PromotionError, match="stale"):
        promote.promote(RECIPE, root, "warmer", "step_0000030", expect="2")
    assert set(registered.options(server, f"models:/{NAME}@production")) == {
        "attempts",
        "language",
        "lora_scale",
        "max_seconds",
        "seed",
        "version",
    }
    assert say.resolve(f"models:/{NAME}@production", root) == "1"

    weights = root / planned.directory / "step_0000040/lora_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match="lora_weights"):
        registered.load(server, f"models:/{NAME}@production")

    printed = "".join(capfd.readouterr()).encode()
    everywhere = [
        path.read_bytes() for place in (directory, root) for path in place.rglob("*") if path.is_file()
    ]
    for secret in ("hunter2", *(value.rpartition(":")[2].partition("@")[0] for value in SECRETS.values())):
        assert not any(secret.encode() in content for content in [printed, *everywhere]), secret
