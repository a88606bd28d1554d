"""What came out of a recipe? Everything its stages left in runs/<recipe>/, read once, decided on and explained: the work of `select`."""

from pathlib import Path
from typing import Any

from voicelathe import digest, layout, records
from voicelathe.config import schema
from voicelathe.errors import RecordError
from voicelathe.evaluate import losses, selection
from voicelathe.evaluate.listening import verdicts
from voicelathe.evaluate.report import page
from voicelathe.evaluate.scoring import probing
from voicelathe.records import (
    BaseFacts,
    Ceiling,
    CheckpointRecord,
    EvaluationRecord,
    ProbeRecord,
    Race,
    RunRecord,
    SampleRecord,
    Selection,
    SpeechMeasures,
    StepRecord,
)

FILES = (
    "run.json",
    "steps.jsonl",
    "checkpoints.json",
    "evaluations.jsonl",
    "clip_losses.parquet",
    "probes.jsonl",
    "samples.jsonl",
    "metrics.json",
    "race.json",
)


def select(recipe: str, how: schema.Select, root: Path) -> tuple[Selection, str]:
    """The selection and its report page. Raises RecordError for files that are missing or damaged, SelectionError for what they hold."""
    files = {name: layout.run(recipe, name) for name in FILES}
    run = records.read_one(root / files["run.json"], RunRecord)
    base = layout.latents(run.identity.base) / "base.json"
    ceiling = layout.ceiling(run.identity.base)
    read = [
        *files.values(),
        base,
        ceiling,
        *([stored] if (root / (stored := verdicts.path_of(recipe))).is_file() else []),
    ]
    checkpoints = _index(root / files["checkpoints.json"])
    samples = records.read(root / files["samples.jsonl"], SampleRecord)
    measures = records.read_one(root / files["metrics.json"], SpeechMeasures)
    evaluations = records.read(root / files["evaluations.jsonl"], EvaluationRecord)
    facts = records.read_one(root / base, BaseFacts)
    probes = records.read(root / files["probes.jsonl"], ProbeRecord)
    probed = probing.judge(recipe, probes, evaluations, how.probes, facts, run.identity.seed)
    chosen = selection.decide(
        run,
        evaluations,
        losses.read(root / files["clip_losses.parquet"]),
        samples,
        verdicts.load(recipe, root),
        how,
        facts.trained,
        digest.of_files({path.as_posix(): root / path for path in read}),
        checkpoints,
        measures,
        records.read_one(root / files["race.json"], Race),
        probed,
        records.read_one(root / ceiling, Ceiling),
    )
    steps = records.read(root / files["steps.jsonl"], StepRecord)
    return chosen, page.render(run, chosen, steps, checkpoints, samples, measures, root)


def _index(path: Path) -> list[CheckpointRecord]:
    try:
        listed: Any = digest.read_json(path)["checkpoints"]
    except FileNotFoundError:
        raise RecordError(f"{path} is missing. The stage that writes it has not run: `make repro`.") from None
    except (ValueError, KeyError, TypeError):
        raise RecordError(f"{path} is no index of checkpoints. Run the stage train again.") from None
    return [records.from_json(CheckpointRecord, one, str(path)) for one in listed]
