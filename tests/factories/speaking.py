"""A project whose versions can be heard: real adapters of the small base, tracked, and the untouched base in production as version 1."""

import os
from pathlib import Path

from tests.factories import adapters, mlflow_stores, runs
from voicelathe import digest, records
from voicelathe.config import params
from voicelathe.registry import promote
from voicelathe.runs.identity import IDENTITY
from voicelathe.stages.references import clips
from voicelathe.tracking import replay

RECIPE = "mini-lora"


EMBEDDED = (
    runs.REPOSITORY / "data/bases/voxcpm2-mini"
)  # speaks ten times as fast as the one of random weights


def behind_a_clip(root: Path, databases: Path, base: Path | None = None, way: str = "reference") -> Path:
    """A tracked run that ships nothing, whose base was judged behind a clip with real samples, too; nothing is in production."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    runs.project(root, base, num_recorded=2)
    params.edit({f"recipes/{RECIPE}/evaluate/zero_shot": way}, root / "params.yaml")
    heard = clips.reference(params.load(root / "params.yaml"), RECIPE, root)
    assert heard is not None
    runs.finished(root, threads=1, prompt=records.PromptClip.of(heard.clips[0], heard.way))
    runs.select(root, RECIPE, "do_not_ship", None)
    (root / "mlflow.db").write_bytes(mlflow_stores.empty_database(databases).read_bytes())
    replay.mirror_all(RECIPE, runs.tracking(), root)
    return root


def project(root: Path, databases: Path, base: Path | None = None) -> Path:
    """Made below `root`; `databases` keeps an empty MLflow database between calls."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    runs.project(root, base)
    adapter = adapters.of_steps(root / "data/bases" / runs.BASE, adapters.lora_of(RECIPE, root))
    made = runs.finished(
        root, steps=40, adapter=adapter, threads=1
    )  # two wait for each other where others work
    digest.write_json(made.journal / IDENTITY, records.to_json(made.run.identity))
    (root / "mlflow.db").write_bytes(mlflow_stores.empty_database(databases).read_bytes())
    replay.mirror_all(RECIPE, runs.tracking(), root)
    promote.promote(RECIPE, root, "to hear it", "base")
    return root
