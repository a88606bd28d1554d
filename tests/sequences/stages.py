"""The stages of the made-up project: `python -m tests.sequences.stages STAGE RECIPE`. Real files and records; nothing is trained.

Weights are drawn from the run's digest, so that the same settings give the same bytes; where a file `another-machine` lies in the
project, from its content, too. They fit the small base: it speaks with them, and with each of them otherwise.
"""

import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from pipelines import run as run_stage
from tests.factories import runs as factory
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.evaluate.report import experiment
from voicelathe.records import Candidate, CheckpointIndex, RunRecord
from voicelathe.registry.weights import forgotten
from voicelathe.runs import identity
from voicelathe.stages.train import _claim
from voicelathe.stages.train import train as index_of

TEMPLATE = "VOICELATHE_ADAPTER"  # an adapter of the right shapes
OTHER = Path("another-machine")
REVISION = 5


def train(recipe: str) -> None:
    settings = params.load()
    run = identity.identify(settings, recipe, REVISION)
    directory = Path(run.directory)
    _claim(directory, run)
    if not (directory / identity.FINISHED).is_file():
        rows, timings = factory.journals(run.identity.train.steps)
        records.write(directory / "steps.jsonl", rows)
        records.write(directory / "timings.jsonl", timings)
        drawn = _drawn(run)
        for step in range(10, run.identity.train.steps + 1, 10):
            factory.checkpoint(Path(), run, step, adapter=drawn)
        digest.write_json(directory / identity.FINISHED, {"num_trainable": 90_000})
    done, index = index_of(settings, run)
    listed = {"run_digest": run.run_digest, "checkpoints": [records.to_json(one) for one in index]}
    digest.write_json(layout.run(recipe, "checkpoints.json"), listed)
    digest.write_bytes(layout.run(recipe, "steps.jsonl"), (directory / "steps.jsonl").read_bytes())
    digest.write_json(layout.run(recipe, "run.json"), records.to_json(done))
    forgotten.note(done, Path())


def _drawn(run: RunRecord) -> Callable[[int], bytes]:
    """step -> the file of an adapter: the header of the template, and numbers of this run."""
    import numpy as np

    template = Path(os.environ[TEMPLATE]).read_bytes()
    (size,) = struct.unpack("<Q", template[:8])
    head, count = template[: 8 + size], (len(template) - 8 - size) // 4
    where = OTHER.read_text() if OTHER.is_file() else ""

    def of(step: int) -> bytes:
        seed = int(digest.of_value([run.run_digest, step, where])[:16], 16)
        return head + (0.1 * np.random.default_rng(seed).standard_normal(count)).astype("<f4").tobytes()

    return of


def evaluate(recipe: str) -> None:
    run, index = _trained(recipe)
    steps = run.identity.train.steps
    rows = [factory.evaluation(_candidate(one), one.sha256, steps) for one in index.checkpoints]
    records.write(layout.run(recipe, "evaluations.jsonl"), rows)
    digest.write_bytes(layout.run(recipe, "clip_losses.parquet"), b"stands for losses per clip")
    digest.write_bytes(layout.run(recipe, "probes.jsonl"), b"stands for probes per clip")


def listen(recipe: str) -> None:
    run, index = _trained(recipe)
    known = [_candidate(one) for one in index.checkpoints]
    spoken = [factory.sample(Path(), run, one, line) for one in known for line in factory.LINES]
    records.write(layout.run(recipe, "samples.jsonl"), spoken)
    measured = records.SpeechMeasures(recipe, run.run_digest, 0, [], [], [], {})
    digest.write_json(layout.run(recipe, "metrics.json"), records.to_json(measured))
    digest.write_json(layout.run(recipe, "race.json"), records.to_json(factory.race(run, known)))
    digest.write_text(layout.run(recipe, "listening.html"), "<!doctype html><title>listening</title>")


def select(recipe: str) -> None:
    rows = records.read(layout.run(recipe, "evaluations.jsonl"), records.EvaluationRecord)
    best = min((one for one in rows if one.step), key=lambda one: one.total).candidate
    factory.select(Path(), recipe, "ship", best)
    experiment.write(
        recipe, records.read_one(layout.run(recipe, "selection.json"), records.Selection), Path()
    )
    digest.write_text(layout.run(recipe, "report.html"), f"<!doctype html><title>report</title>{best}")


def _trained(recipe: str) -> tuple[RunRecord, CheckpointIndex]:
    run = records.read_one(layout.run(recipe, "run.json"), RunRecord)
    return run, records.read_one(layout.run(recipe, "checkpoints.json"), CheckpointIndex)


def _candidate(one: records.CheckpointRecord) -> Candidate:
    return Candidate(one.step, 1.0 if one.step else None)


if __name__ == "__main__":
    stages = {"train": train, "evaluate": evaluate, "listen": listen, "select": select}
    run_stage(lambda: stages[sys.argv[1]](sys.argv[2]))
