"""`voicelathe doctor`: what would stop a run, each with its fix; a broken thing never hides the others."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Outcome, Run
from tests.factories import corpora
from tests.factories import runs as factory
from voicelathe import digest, layout, records
from voicelathe.cli.machine import machine, reaching
from voicelathe.cli.recipes import leftovers, runs
from voicelathe.config import params
from voicelathe.data.manifest import ingest
from voicelathe.errors import WorkerError


@pytest.fixture
def healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which nothing is wrong, and the interpreter's programs on PATH."""
    root = factory.project(tmp_path / "project")
    shutil.copy(ROOT / "requirements.lock", root)
    manifest = root / "data/demo/manifest.jsonl"
    rows = [json.loads(line) for line in (ROOT / "data/demo/manifest.jsonl").read_text().splitlines()[:1]]
    corpora.json_lines(manifest, rows)
    corpora.tone(root / "data/demo/audio" / rows[0]["audio"], hz=200)
    monkeypatch.chdir(root)
    params.edit({"ingest/manifest": "data/demo/manifest.jsonl", "ingest/sha256": digest.of_file(manifest)})
    records.write(layout.MANIFEST, ingest.read(params.load().ingest, ingest.IN_THIS_PROCESS).rows)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    return root


def states(done: Outcome) -> dict[str, str]:
    """Row -> state."""
    rows = [line.split() for line in done.out.splitlines() if line.startswith("  ")]
    found = {}
    for row in rows[1:]:
        at = next((at for at, word in enumerate(row) if word in ("ok", "note", "BAD")), None)
        if at is not None:
            found[" ".join(row[:at])] = row[at]
    return found


def test_a_healthy_project_has_nothing_bad(healthy: Path, run: Run) -> None:
    done = run("doctor")
    assert "BAD" not in done.out, done.out
    assert done.code == 0
    expected = {
        "python",
        "packages",
        "torch",
        "device",
        "disk",
        "manifest",
        "consent lark",
        "production",
        "base voxcpm2-mini",
        "weights mini-lora",
        "dvc",
        "locks",
    }
    assert expected <= set(states(done))


def test_every_broken_thing_is_found_at_once_with_its_fix(
    healthy: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (healthy / "data/demo/manifest.jsonl").write_text("{} \n")
    tokenizer = healthy / "data/bases/voxcpm2-mini/tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    (healthy / "consent/lark.json").unlink()
    lock = healthy / "requirements.lock"
    lock.write_text(lock.read_text().replace("typer==", "typer==9").replace("dvc==", "no-such-package=="))
    params.edit(
        {"machine/device": "cuda", "recipes/mini-lora/preflight/min_free_disk_gib": 1e9},
        healthy / "params.yaml",
    )
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    done = run("doctor")
    assert done.code == 1
    found = states(done)
    bad = {"packages", "torch", "disk", "manifest", "consent lark", "base voxcpm2-mini"}
    assert bad <= {what for what, state in found.items() if state == "BAD"}
    assert found["dvc"] == found["git"] == "note"
    for fix in (
        "make setup",
        "voicelathe pin",
        "unset it",
        "source .venv/bin/activate",
        "--replace",
        "voicelathe consent check lark",
        "The recipes want 1e+09 GiB",
    ):
        assert fix in done.out, fix
    assert "2 of" in done.out and "no-such-package none" in done.out


def test_a_broken_params_file_is_reported_and_the_rest_still_checked(healthy: Path, run: Run) -> None:
    (healthy / "params.yaml").write_text("seed: [1\n")
    done = run("doctor")
    assert done.code == 1 and "is not readable YAML" in done.out
    assert states(done)["python"] == "ok"


def test_a_python_that_is_not_supported_is_bad(
    healthy: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "PYTHONS", ((3, 10),))
    done = run("doctor")
    assert done.code == 1 and states(done)["python"] == "BAD" and "make setup PYTHON=" in done.out


def test_missing_weights_are_found(healthy: Path, run: Run) -> None:
    made = factory.finished(healthy, "mini-lora")
    assert states(run("doctor"))["weights mini-lora"] == "ok"
    shutil.rmtree(Path(made.run.directory) / "step_0000010")
    done = run("doctor")
    assert states(done)["weights mini-lora"] == "BAD" and "voicelathe retrain mini-lora" in done.out


def test_a_dead_tracking_server_is_named_without_its_password(
    healthy: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:secret@127.0.0.1:{port}")
    done = run("doctor")
    assert states(done)["tracking"] == "BAD" and f"http://127.0.0.1:{port}" in done.out
    assert "secret" not in done.told


def test_a_certificate_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "/nowhere/ca.pem")
    found = reaching.problem("https://127.0.0.1:1")
    assert found is not None and "ca.pem" in found[0] and "MLFLOW_TRACKING_SERVER_CERT_PATH" in found[1]


def test_user_and_password_are_asked_with_before_a_token_as_mlflow_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t")
    assert reaching._credentials() == {"headers": {"Authorization": "Bearer t"}}
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "u")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p")
    assert reaching._credentials() == {"auth": ("u", "p")}


def test_a_run_that_is_being_trained_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "mini-lora" / "0123456789abcdef"
    directory.mkdir(parents=True)
    assert list(leftovers.busy_runs(tmp_path)) == []
    with (directory / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write("4711")
        held.flush()
        assert list(leftovers.busy_runs(tmp_path)) == [(directory, "4711")]
    assert list(leftovers.busy_runs(tmp_path)) == []


def test_dvc_notes_of_dead_processes_and_unfinished_directories_are_named(healthy: Path, run: Run) -> None:
    gone = 2**22 + 1  # above the kernel's largest process id
    note = {
        "/x": {"read": [{"pid": os.getpid(), "cmd": "dvc"}]},
        "/y": {"write": {"pid": gone, "cmd": "dvc"}},
    }
    (healthy / ".dvc/tmp").mkdir(parents=True)
    (healthy / ".dvc/tmp/rwlock").write_text(json.dumps(note))
    (healthy / "checkpoints/mini-lora/abc/.tmp-step_0000010-1").mkdir(parents=True)
    assert leftovers.dead_dvc_owners() == [gone] and leftovers.unburied_dvc_owners() == []
    done = run("doctor")
    assert f"names process {gone}, which is gone" in done.out
    assert "1 unfinished directories" in done.out
    assert done.code == 0  # a nuisance, not an obstacle


def test_a_dead_process_that_nobody_buried_stops_dvc_and_is_named_with_what_to_do(
    healthy: Path, run: Run
) -> None:
    """As in a container without an init: a process that was killed stays as a zombie."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not waited for
    note = {str(healthy / "x"): {"write": {"pid": ended.pid, "cmd": "dvc repro"}}}
    (healthy / ".dvc/tmp").mkdir(parents=True)
    leftovers.RWLOCK.write_text(json.dumps(note))
    assert leftovers.unburied_dvc_owners() == [ended.pid] and leftovers.dead_dvc_owners() == []
    done = run("doctor")
    assert done.code == 1 and f"names process {ended.pid}, which has ended" in done.out
    assert f"rm {leftovers.RWLOCK}" in done.out
    with pytest.raises(WorkerError, match=rf"rwlock is held by {ended.pid}, .* First: rm \.dvc/tmp/rwlock"):
        runs.dvc("no-such-command", recover="")
    ended.wait()
    assert leftovers.unburied_dvc_owners() == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": {"read": 7}}'])
def test_a_strange_lock_file_of_dvc_is_no_obstacle(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rwlock"
    path.write_text(content)
    assert leftovers.dead_dvc_owners(path) == leftovers.unburied_dvc_owners(path) == []
