"""What training on the raw manifest would have done: the demo's recipes with the audit skipped on purpose, beside the clean run.

    python -m benchmarks.dirty_manifest [--recipe mini-full] [--steps 60] [--lines 8] [--out FOLDER]

Both runs share base, settings, seed, and the clean validation and test clips; no recording of those is trained on by either. They
differ in the training clips: the clean ones, or with them every raw row that can be decoded (no text, boilerplate, slices under
100 ms, wrong texts, other voices, ...). Only rows with NaN samples are left out: with them the trainer stops and names the clip. DVC and the gate are bypassed by calling the stages one by one, which is the only way to do it:
`dvc repro` stops at the gate. Every candidate speaks the sentences of the first test clips; CER is pocketsphinx's, similarity is to
clean validation clips. Some fifteen minutes of one core for a recipe. The results are in docs/mini-base.md.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from voicelathe import digest, layout, lines, records
from voicelathe.config import params
from voicelathe.data import tables
from voicelathe.data.audit import spikes
from voicelathe.records import CleanClip, ClipMeasure, EvaluationRecord, ManifestRow, PackLine, StepRecord

ROOT = Path(__file__).parents[1]
FOLDERS = ("data/demo", "data/general", "data/bases", "data/phrases", "consent", "lines", "splits", "recipes")
FIGURES = ("cer", "similarity", "speech_s")


def main(recipe: str, steps: int, num_lines: int, out: Path) -> None:
    clean = out / "clean"
    if not (clean / layout.GATE).is_file():
        build(clean, recipe, steps)
        for stage in ("ingest", "measure", "hear", "audit", "split", "gate"):
            run(clean, stage)
        say_test_lines(clean, recipe, num_lines)
    base = params.load(clean / "params.yaml").recipes[recipe].base
    dirty = out / "dirty"
    if not (dirty / layout.split("train")).is_file():
        left_out = shutil.ignore_patterns("mlflow.db*", "mlruns", "checkpoints", "runs", "latents")
        shutil.copytree(clean, dirty, ignore=left_out, dirs_exist_ok=True)
        records.write(dirty / layout.split("train"), unaudited(clean))
    for side in (clean, dirty):
        stages = [
            ("encode", base),
            ("general", base),
            *((one, recipe) for one in ("train", "evaluate", "listen")),
        ]
        for stage, name in stages:
            run(side, stage, name)
    for side in (clean, dirty):
        tell(side, recipe)


def build(project: Path, recipe: str, steps: int) -> None:
    """What the stages read; one recipe, `steps` long, judged by words and voice."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, project / name)
    shutil.copy(ROOT / "params.yaml", project)
    place = f"recipes/{recipe}"
    changes = {
        f"{place}/train/steps": steps, f"{place}/evaluate/zero_shot": None,
        f"{place}/listen/metrics": ["waveform", "activity", "words", "speaker"],
    }  # fmt: skip
    params.edit(changes, project / "params.yaml")


def say_test_lines(project: Path, recipe: str, num_lines: int) -> None:
    """The sentences of test clips, one each of as many recordings as there are, become the lines of the sweep."""
    clips = records.read(project / layout.split("test"), CleanClip)
    chosen = clips[:: max(1, len(clips) // num_lines)][:num_lines]
    pack = [
        PackLine(f"test-{at}", clip.text, clip.language, None, "sentence", None, None)
        for at, clip in enumerate(chosen)
    ]
    lines.write(project / "lines/test.jsonl", pack)
    params.edit({f"recipes/{recipe}/listen/lines": "lines/test.jsonl"}, project / "params.yaml")


def unaudited(project: Path) -> list[CleanClip]:
    """Every row that can be decoded, of no recording that validation or test hold, as a script without an audit would take it."""
    held = {
        clip.recording_id
        for name in ("validation", "test")
        for clip in records.read(project / layout.split(name), CleanClip)
    }
    measures = {one.clip_id: one for one in tables.read(project / "data/measured/clips.parquet", ClipMeasure)}
    rows = records.read(project / layout.MANIFEST, ManifestRow)
    taken = [row for row in rows if row.recording_id not in held and row.clip_id in measures]
    return [as_clip(row, one) for row in taken if is_usable(one := measures[row.clip_id])]


def is_usable(measure: ClipMeasure) -> bool:
    return measure.problem is None and not measure.num_nonfinite


def as_clip(row: ManifestRow, measure: ClipMeasure) -> CleanClip:
    start_s, length_s = row.start_s or 0.0, measure.duration_s or 0.0
    return CleanClip(
        clip_id=row.clip_id, audio=row.audio, start_s=start_s, end_s=start_s + length_s, text=row.text or "",
        recording_id=row.recording_id, speaker_id=row.speaker_id, language=row.language,
        audio_sha256=row.audio_sha256 or "", samples_sha256=measure.samples_sha256 or "", duration_s=length_s, ref_audio=None,
    )  # fmt: skip


def run(project: Path, stage: str, *names: str) -> None:
    """One stage, as dvc.yaml calls it; from the code of this checkout."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{project.resolve() / 'mlflow.db'}"
    print(f"-- {project.name}: {stage} {' '.join(names)}", file=sys.stderr, flush=True)
    subprocess.run(
        [sys.executable, "-m", f"pipelines.{stage}", *names], cwd=project, env=environment, check=True
    )


def tell(project: Path, recipe: str) -> None:
    """A table for docs/mini-base.md: what the trainer saw, and what each candidate became."""
    folder = project / layout.run(recipe, "steps.jsonl").parent
    steps = records.read(folder / "steps.jsonl", StepRecord)
    clean = {clip.clip_id for clip in records.read(project / "data/audit/clean.jsonl", CleanClip)}
    train = records.read(project / layout.split("train"), CleanClip)
    bad = {clip.clip_id for clip in train} - clean
    met = [step for step in steps if not bad.isdisjoint(step.clip_ids)]
    print(f"\n## {project.name}: {len(train)} training clips, {len(bad)} of them not clean\n")
    print(f"steps with such a clip: {len(met)} of {len(steps)}")
    print(
        f"highest stop loss {max(one.losses['stop'] for one in steps):.3f}, median {middle(one.losses['stop'] for one in steps):.3f}"
    )
    print(
        f"highest gradient norm {max(one.grad_norm for one in steps):.2f}, median {middle(one.grad_norm for one in steps):.2f}"
    )
    tell_spikes(project, steps)
    print(
        "\n| candidate | validation total | diff | stop | CER | similarity | speech s | vetoes |\n|---|--:|--:|--:|--:|--:|--:|---|"
    )
    evaluations = {one.candidate: one for one in records.read(folder / "evaluations.jsonl", EvaluationRecord)}
    samples: list[dict[str, Any]] = digest.read_json(folder / "metrics.json")["samples"]
    for name, one in evaluations.items():
        own = [sample for sample in samples if sample["candidate"] == name]
        means = [statistics.mean(s["values"].get(figure, float("nan")) for s in own) for figure in FIGURES]
        vetoes = Counter(veto for sample in own for veto in sample["vetoes"])
        losses = f"{one.total:.3f} | {one.losses['diff']:.3f} | {one.losses['stop']:.3f}"
        heard = f"{means[0]:.3f} | {means[1]:.3f} | {means[2]:.2f}"
        print(
            f"| {name} | {losses} | {heard} | {', '.join(f'{veto} {n}' for veto, n in sorted(vetoes.items()))} |"
        )


def tell_spikes(project: Path, steps: Sequence[StepRecord]) -> None:
    """The steps that the trainer itself marked, with the clips it would name."""
    findings = tables.read(project / "data/audit/findings.parquet", records.Finding)
    rows = records.read(project / layout.MANIFEST, ManifestRow)
    for spike in spikes.find(steps, findings, rows):
        named = [one for one in spike.clips if one.findings]
        first = f"; first: line {named[0].line}, {named[0].findings[0]}" if named else ""
        print(
            f"step {spike.step}: {', '.join(spike.signs)}; {len(named)} of {len(spike.clips)} clips have findings{first}"
        )


def middle(values: Iterable[float]) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="mini-full")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--lines", type=int, default=8)
    parser.add_argument("--out", type=Path, help="kept and gone on with; default: a temporary folder")
    chosen = parser.parse_args()
    if chosen.out:
        main(chosen.recipe, chosen.steps, chosen.lines, chosen.out)
    else:
        with tempfile.TemporaryDirectory() as made:
            main(chosen.recipe, chosen.steps, chosen.lines, Path(made))
