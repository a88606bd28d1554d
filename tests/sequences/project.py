"""A project of two recipes in git and DVC, whose stages take seconds: the start of every drawn sequence."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.factories import adapters, mlflow_stores, voxcpm2_base
from tests.factories import runs as factory
from tests.factories.evaluations import ceiling
from tests.sequences.stages import TEMPLATE
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.evaluate.report import experiment

HERE = Path(__file__).parents[2]
RECIPES = ("mini-lora", "mini-full")  # the names of the shipped ones; here both are adapters
STEPS = 40
OUTS = {
    "train": ("run.json", "steps.jsonl", "checkpoints.json"),
    "evaluate": ("evaluations.jsonl", "clip_losses.parquet", "probes.jsonl"),
    "listen": ("samples.jsonl", "listening.html", "metrics.json", "race.json"),
    "select": ("selection.json", "report.html"),
}
METRICS = ("metrics", (experiment.METRICS,))
PLOTS = ("plots", experiment.FILES[1:])


def environment(root: Path, template: Path) -> dict[str, str]:
    """Of everything that is run in the project: this interpreter's programs first, nobody's MLflow."""
    binaries = Path(sys.executable).parent
    who = {
        f"GIT_{role}_{what}": "anna@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    here = {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": f"{HERE}{os.pathsep}{HERE / 'src'}", TEMPLATE: str(template),
        "DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1", "COLUMNS": "300", "CI": "true",
        "GIT_CONFIG_GLOBAL": str(root.parent / "gitconfig"), "LOGNAME": "anna",
    }  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if name not in ("MLFLOW_TRACKING_URI",)}
    return {**kept, **who, **here}


def make(folder: Path) -> tuple[Path, Path]:
    """The project, everything trained, tracked and committed; and the adapter that others are drawn from."""
    root = factory.project(folder / "voice")
    template = folder / "template.safetensors"
    _recipes(root)
    template.write_bytes(adapters.of_steps(voxcpm2_base.shared(), adapters.lora_of(RECIPES[0], root))(1))
    digest.write_json(root / layout.ceiling(factory.BASE), records.to_json(ceiling()))
    (root / "dvc.yaml").write_text(_stages())
    (root / "pipelines").mkdir()
    shutil.copy(HERE / "pipelines/train.py", root / "pipelines")
    for name in (".gitignore", ".gitattributes"):
        kept = [line for line in (HERE / name).read_text().splitlines() if not line.startswith("/data/")]
        (root / name).write_text("\n".join(kept) + "\n")
    shutil.copy(mlflow_stores.empty_database(_made(folder / "store")), root / "mlflow.db")
    run = {"cwd": root, "check": True, "env": environment(root, template), "stdout": subprocess.DEVNULL}
    for words in (
        "git init -q -b main",
        "dvc init -q",
        "dvc config core.autostage false",
        "dvc repro -q select@mini-lora select@mini-full",
        "git add -A",
        "git commit -qm start",
    ):
        subprocess.run(words.split(), **run)  # type: ignore[call-overload]
    return root, template


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _recipes(root: Path) -> None:
    """Two recipes of the shipped one; the other is trained with another rate."""
    from ruamel.yaml import YAML

    raw = params.read_yaml(root / "params.yaml")
    one = raw["recipes"]["mini-lora"]
    raw["recipes"] = {name: one for name in RECIPES}
    text = YAML()
    text.representer.ignore_aliases = lambda *_: True
    with (root / "params.yaml").open("w") as file:
        text.dump(raw, file)
    params.edit({f"recipes/{RECIPES[1]}/train/learning_rate": 0.0005}, root / "params.yaml")


def _stages() -> str:
    """dvc.yaml: the names and the records of the real one, so that every advice means the same here."""
    lines = ["stages:"]
    read: tuple[str, ...] = ()
    for name, outs in {"preflight": (), **OUTS, "track": ("tracked.json",)}.items():
        real = name == "track"
        does = (
            "python -c pass"
            if name == "preflight"
            else f"python -m {'pipelines.track' if real else f'tests.sequences.stages {name}'}"
        )
        lines += [
            f"  {name}:",
            "    foreach: ${recipes}",
            "    do:",
            f"      cmd: {does} ${{key}}",
            "      params:",
        ]
        lines += ["        - tracking"] if real else ["        - seed", "        - recipes.${key}.train"]
        if read:
            lines += ["      deps:", *(f"        - runs/${{key}}/{file}" for file in read)]
        if outs:
            lines += [
                "      outs:",
                *(
                    f"        - runs/${{key}}/{file}" + (":\n            cache: false" if real else "")
                    for file in outs
                ),
            ]
        if name == "select":
            for kind, files in (METRICS, PLOTS):
                lines += [f"      {kind}:", *(f"        - runs/${{key}}/{file}" for file in files)]
        read = (*read, *outs)
    return "\n".join(lines) + "\n"
