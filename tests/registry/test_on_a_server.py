"""The same against a real MLflow server that keeps runs and artifacts on its own side: path sources are refused there.

Twenty secrets are planted beforehand; at the end every file of the server and of the project, and all that was printed, is searched.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.test_secrets import pages
from tests.factories import mlflow_stores as stores
from tests.factories import planted, runs
from voicelathe import digest, layout
from voicelathe.errors import CheckpointError, PromotionError
from voicelathe.registry import promote, promoted, verify
from voicelathe.registry.speaking import say
from voicelathe.registry.weights import archive
from voicelathe.tracking import registered, replay, store
from voicelathe.tracking.live.mirror import Mirror

RECIPE, NAME = "mini-lora", "voicelathe"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(directory: Path, empty_database: Path) -> Iterator[str]:
    (directory / "server.db").write_bytes(empty_database.read_bytes())
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(stores.server(directory))


@pytest.mark.slow
def test_a_run_lives_on_a_server_from_its_first_step_to_production(
    server: str,
    directory: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    server = server.replace("http://", f"http://{planted.USER}:{planted.PASSWORD}@")
    for name, value in {
        **planted.ENVIRONMENT,
        "MLFLOW_TRACKING_URI": server,
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DVC_EXP_NAME", planted.EXPERIMENT)
    planted.remote(root)
    page, _ = pages(root / "imported")
    digest.write_text(root / layout.DATA_REPORT, page)
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
    assert promote.promote(RECIPE, root, planted.BECAUSE, "step_0000020").version == "2"
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
        "steps",
        "guidance",
        "max_length_ratio",
    }
    assert say.resolve(f"models:/{NAME}@production", root) == "1"

    weights = root / planned.directory / "step_0000040/lora_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match="lora_weights"):
        registered.load(server, f"models:/{NAME}@production")

    with pytest.raises(CheckpointError) as refused:
        archive.archive(planted.BUCKET, [RECIPE], root)
    assert run.data.tags["voicelathe.dvc_experiment"] == "sweep-***"
    assert not planted.found([directory, root], *capfd.readouterr(), str(refused.value))
