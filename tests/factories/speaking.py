"""A project whose versions can be heard: real adapters of the small base, tracked, and the untouched base in production as version 1."""

import os
from pathlib import Path

from tests.factories import adapters, mlflow_stores, runs
from voicelathe import digest, records
from voicelathe.registry import promote
from voicelathe.runs.identity import IDENTITY
from voicelathe.tracking import replay

RECIPE = "mini-lora"


EMBEDDED = (
    runs.REPOSITORY / "data/bases/voxcpm2-mini"
)  # speaks ten times as fast as the one of random weights


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
