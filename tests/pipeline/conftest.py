"""A project of its own: the real stages, base and audio, a manifest of a few recordings, one short recipe."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.factories import runs
from voicelathe import records
from voicelathe.config import params

HERE = Path(__file__).parents[2]
RECORDINGS = [f"rec_{number:02d}" for number in range(1, 11)]
Say = Callable[..., subprocess.CompletedProcess[str]]


def command(root: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in the project."""
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "CI": "true"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    program = [str(binaries / words[0]), *words[1:]]
    ended = subprocess.run(program, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if check and ended.returncode:
        raise AssertionError(
            f"{' '.join(words)} ended with {ended.returncode}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
        )
    return ended


def make(root: Path) -> Path:
    """A small project with git and DVC."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("pipelines", "consent", "splits", "verdicts", "data/phrases", "data/bases", "data/general"):
        shutil.copytree(HERE / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", ".gitignore"):
        shutil.copy(HERE / name, root / name)
    (root / "data/demo").mkdir()
    shutil.copy(HERE / "data/demo/NOTICE", root / "data/demo")  # the evidence of the speaker's consent
    records.write(root / "lines/tiny.jsonl", runs.pack({"short": "The lamp is on."}))
    _corpus(root / "data/mine")
    command(root, "dvc", "init", "--no-scm", "-q")
    raw = params.read_yaml(root / "params.yaml")
    raw["recipes"] = {"tiny": raw["recipes"]["mini-lora"]}
    tiny = raw["recipes"]["tiny"]
    tiny["train"].update(steps=6, checkpoint_every=1, warmup_steps=1)
    tiny["preflight"].update(steps=2, max_seconds=1.0)
    tiny["listen"].update(lines="lines/tiny.jsonl", max_seconds=1.0, metrics=["waveform", "activity"])
    raw["gate"]["min_rows"] = 10
    raw["ingest"].update(manifest="data/mine/manifest.jsonl", audio_root="data/mine/audio")
    write(root, raw)
    command(root, "voicelathe", "pin")
    return root


def write(root: Path, raw: object) -> None:
    from ruamel.yaml import YAML

    with (root / "params.yaml").open("w") as file:
        YAML().dump(raw, file)


def _corpus(to: Path) -> None:
    """Rows of the first recordings of the demo, their dirt included."""
    rows = [json.loads(line) for line in (HERE / "data/demo/manifest.jsonl").read_bytes().splitlines()]
    kept = [row for row in rows if row["recording_id"] in RECORDINGS]
    (to / "audio").mkdir(parents=True)
    for name in sorted({row["audio"] for row in kept}):
        if (HERE / "data/demo/audio" / name).is_file() and ".." not in name:
            shutil.copy(HERE / "data/demo/audio" / name, to / "audio" / name)
    (to / "manifest.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), encoding="utf-8"
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project after its first `dvc repro`."""
    root = make(tmp_path_factory.mktemp("project") / "root")
    command(root, "dvc", "repro")
    return root
