"""dvc.yaml and the stage scripts state the same contract, so that `dvc repro` never runs on stale inputs and never misses a change."""

import importlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from voicelathe.config import params

ROOT = Path(__file__).parents[1]
STAGES: dict[str, Any] = {
    name: {**stage.get("do", stage), "foreach": stage.get("foreach")}
    for name, stage in params.read_yaml(ROOT / "dvc.yaml")["stages"].items()
}
ORDER = [
    *("ingest", "measure", "hear", "audit", "split", "gate", "encode", "general", "ceiling"),
    *("preflight", "train", "evaluate", "listen", "select", "track"),
]


def script(stage: dict[str, Any]) -> str:
    found = re.fullmatch(r"python -m pipelines\.([a-z_]+)(?: \$\{key\})?", stage["cmd"])
    assert found, f"a stage runs its script and nothing else: {stage['cmd']}"
    return found.group(1)


def names(entries: Any) -> list[str]:
    """Paths of deps or outs, with or without options."""
    return [next(iter(entry)) if isinstance(entry, dict) else str(entry) for entry in entries or []]


def outputs(stage: dict[str, Any]) -> list[str]:
    return [name for kind in ("outs", "metrics", "plots") for name in names(stage.get(kind))]


def test_the_stages_are_those_of_the_design() -> None:
    assert list(STAGES) == ORDER


@pytest.mark.parametrize("name", ORDER)
def test_a_stage_declares_what_its_script_reads_and_writes(name: str) -> None:
    stage = STAGES[name]
    module = importlib.import_module(f"pipelines.{script(stage)}")
    assert sorted(module.READS) == sorted(names(stage["deps"]))
    assert sorted(module.WRITES) == sorted(outputs(stage))
    assert sorted(module.PARAMS) == sorted(stage["params"])
    assert isinstance(module.REVISION, int)


@pytest.mark.parametrize("name", ORDER)
def test_a_stage_depends_on_its_own_script_and_not_on_the_library(name: str) -> None:
    deps = names(STAGES[name]["deps"])
    assert f"pipelines/{script(STAGES[name])}.py" in deps
    assert not [path for path in deps if path.startswith("src")]


@pytest.mark.parametrize("name", ORDER)
def test_a_stage_that_takes_a_key_runs_once_for_each(name: str) -> None:
    stage = STAGES[name]
    assert stage["cmd"].endswith("${key}") == (stage["foreach"] is not None)
    assert stage["foreach"] in (None, "${bases}", "${recipes}")


def test_what_a_stage_reads_another_writes_or_a_person_does() -> None:
    written = {path for stage in STAGES.values() for path in outputs(stage)}
    by_people = re.compile(
        r"pipelines/|\$\{(ingest|audit|general)\.|\$\{item\.(path|preflight\.evidence)\}|verdicts$|consent$|splits$|lines$"
    )
    for name, stage in STAGES.items():
        for path in names(stage["deps"]):
            produced = path.replace("${item.base}", "${key}") in written
            assert produced or by_people.match(path), f"{name} reads {path}, which nobody writes"


def test_everything_that_something_rests_on_can_be_brought_back() -> None:
    """With `cache: false` neither DVC nor git has it: after a change of branch a chain or a comparison would be broken."""
    lost = [
        name
        for stage in STAGES.values()
        for kind in ("outs", "metrics", "plots")
        for entry in stage.get(kind) or []
        if isinstance(entry, dict)
        for name, options in entry.items()
        if (options or {}).get("cache") is False
    ]
    assert lost == ["runs/${key}/tracked.json"], "ids of this machine's MLflow; nothing reads it"
    assert not [stage for stage in STAGES.values() if set(lost) & {*names(stage["deps"])}]


def test_weights_are_never_an_output() -> None:
    assert not [
        path for stage in STAGES.values() for path in outputs(stage) if path.startswith("checkpoints")
    ]


def test_every_script_of_pipelines_is_a_stage() -> None:
    scripts = {path.stem for path in (ROOT / "pipelines").glob("*.py")} - {"__init__"}
    assert scripts == {script(stage) for stage in STAGES.values()}


def test_nothing_that_is_produced_can_be_added_to_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    produced = [path.replace("${key}", "x") for stage in STAGES.values() for path in outputs(stage)]
    produced += [
        "checkpoints/x/y/step_1/model.safetensors",
        ".cache/voicelathe/x",
        "mlflow.db",
        "data/bases/voxcpm2/model.safetensors",
    ]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *produced],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert sorted(done.stdout.split()) == sorted(produced)
    kept = [
        "data/bases/voxcpm2-mini/config.json",
        "data/bases/voxcpm2.json",
        "data/my-voice/manifest.jsonl",
        "consent/anna.json",
    ]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *kept], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
