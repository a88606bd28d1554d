"""What came out of a recipe? Everything its stages left in runs/<recipe>/, read once, decided on and explained: the work of `select`."""

from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.config import schema
from voicelathe.errors import ManifestError, RecordError
from voicelathe.evaluate import losses, selection
from voicelathe.evaluate.listening import page as listening_page
from voicelathe.evaluate.listening import verdicts
from voicelathe.evaluate.report import page
from voicelathe.evaluate.scoring import probing
from voicelathe.records import (
    BaseFacts,
    Ceiling,
    EvaluationRecord,
    ProbeRecord,
    Race,
    RunRecord,
    SampleRecord,
    Selection,
    SpeechMeasures,
    StepRecord,
)
from voicelathe.runs import results

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


def select(recipe: str, how: schema.Select, root: Path, audio_root: str) -> tuple[Selection, str]:
    """The selection and its report page. `audio_root`: where the speaker's recordings lie; the page does without those that are gone. Raises RecordError for files that are missing or damaged, SelectionError for what they hold."""
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
    checkpoints = results.index(recipe, root).checkpoints
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
    try:
        real = listening_page.recordings(samples, audio_root, root)
    except (RecordError, ManifestError):
        real = {}
    return chosen, page.render(run, chosen, steps, checkpoints, samples, measures, root, real)
