"""Everything the stages of a recipe wrote, read and checked before anything is sent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.errors import PromotionError, RecordError
from voicelathe.records import (
    Candidate,
    CheckpointRecord,
    EvaluationRecord,
    RunRecord,
    SampleRecord,
    Selection,
    StepRecord,
    StepTiming,
)
from voicelathe.runs import results


@dataclass(frozen=True)
class Shown:
    """One candidate with all that is known of it."""

    candidate: Candidate
    title: str  # as MLflow shows it; MLflow's names take neither '@' in folders nor '.'
    section: str  # of its validation curves
    checkpoint: CheckpointRecord
    evaluation: EvaluationRecord | None
    samples: list[SampleRecord]


@dataclass(frozen=True)
class RunFiles:
    """The records of one execution of a recipe."""

    root: Path
    run: RunRecord
    steps: list[StepRecord]
    timings: list[StepTiming]
    candidates: list[Shown]
    selection: Selection
    validation_sha256: str | None  # of the validation split

    @property
    def selected(self) -> Shown | None:
        return next((one for one in self.candidates if one.candidate.name == self.selection.selected), None)


def read(recipe: str, root: Path) -> RunFiles:
    """Read the records. Raises RecordError when one is missing, damaged or of another execution."""
    run = records.read_one(root / layout.run(recipe, "run.json"), RunRecord)
    index = results.index(recipe, root)
    selection = records.read_one(root / layout.run(recipe, "selection.json"), Selection)
    for file, found in (("checkpoints.json", index.run_digest), ("selection.json", selection.run_digest)):
        if found != run.run_digest:
            raise RecordError(
                f"{layout.run(recipe, file)} is of run {found[:16]}, but run.json is of {run.run_digest[:16]}. "
                f"Run the stages in between again: dvc repro select@{recipe}"
            )
    timings, validation = root / run.directory / "timings.jsonl", root / layout.split("validation")
    return RunFiles(
        root=root,
        run=run,
        steps=records.read(root / layout.run(recipe, "steps.jsonl"), StepRecord),
        timings=records.read(timings, StepTiming) if timings.is_file() else [],
        candidates=candidates(recipe, root, index.checkpoints),
        selection=selection,
        validation_sha256=digest.of_file(validation) if validation.is_file() else None,
    )


def find(files: RunFiles, candidate: str | None) -> Shown:
    """The candidate of a name, a step or `2000@0.35`; None: the selected one. Raises PromotionError with those there are."""
    wanted = candidate or files.selection.selected
    if wanted is None:
        raise PromotionError(
            f"runs/{files.run.recipe}/selection.json decided {files.selection.decision}: no candidate was selected "
            f"({'; '.join(files.selection.reasons)}). Name one to override it: --candidate NAME --because TEXT.{_instead(files)}"
        )
    named = [one for one in files.candidates if wanted in (one.candidate.name, one.title)]
    found = named or [one for one in files.candidates if _is_at(one.candidate, wanted)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(one.candidate.name for one in found or files.candidates)
    problem = f"more than one candidate at step {wanted}" if found else f"no candidate {wanted!r}"
    raise PromotionError(f"{files.run.recipe} has {problem}. There are: {names}.")


def _is_at(candidate: Candidate, wanted: str) -> bool:
    """As people write it: a step, `2000`, or a step and a LoRA scale, `2000@0.35`."""
    step, at, scale = wanted.partition("@")
    if not step.isdecimal() or int(step) != candidate.step or candidate.step == 0:
        return False
    return not at or (candidate.lora_scale is not None and scale == f"{candidate.lora_scale:g}")


def _instead(files: RunFiles) -> str:
    """Where nothing ships, how to put the base into production that is to be spoken with."""
    found = files.selection.fallback
    return f" The base to speak with meanwhile: --candidate {found.candidate} --because TEXT" if found else ""


def candidates(recipe: str, root: Path, checkpoints: list[CheckpointRecord]) -> list[Shown]:
    """The base and every checkpoint at every LoRA scale that was evaluated, by step and LoRA scale."""
    evaluations = records.read(root / layout.run(recipe, "evaluations.jsonl"), EvaluationRecord)
    samples = records.read(root / layout.run(recipe, "samples.jsonl"), SampleRecord)
    main = _main_scale(evaluations)
    shown = []
    for checkpoint in sorted(checkpoints, key=lambda one: one.step):
        evaluated = [one for one in evaluations if one.step == checkpoint.step]
        for candidate in _candidates(checkpoint, evaluated, main):
            evaluation = next((one for one in evaluated if one.candidate == candidate.name), None)
            _require_same_weights(recipe, checkpoint, evaluation)
            spoken = [sample for sample in samples if sample.candidate == candidate.name]
            title, section = _title(candidate, main)
            shown.append(Shown(candidate, title, section, checkpoint, evaluation, spoken))
    return shown


def sample_files(files: RunFiles) -> Mapping[str, dict[str, Path]]:
    """Title of a candidate -> artifact name -> WAV. Raises RecordError when one is gone or another one than listed."""
    found: dict[str, dict[str, Path]] = {}
    for shown in files.candidates:
        for sample in shown.samples:
            if sample.path is None:
                continue
            path = files.root / sample.path
            if not path.is_file() or digest.of_file(path) != sample.sha256:
                raise RecordError(
                    f"runs/{files.run.recipe}/samples.jsonl lists {sample.path} with sha256 {sample.sha256}, but it is "
                    f"{'changed' if path.is_file() else 'gone'}. Speak again: dvc repro -f -s listen@{files.run.recipe}"
                )
            found.setdefault(shown.title, {})[f"{sample.line_id}-{sample.seed}.wav"] = path
    return found


def _main_scale(evaluations: list[EvaluationRecord]) -> float | None:
    """The LoRA scale whose curves are plainly called `val`: 1.0, or else the largest; None without adapters."""
    scales = {one.lora_scale for one in evaluations if one.lora_scale is not None}
    return 1.0 if 1.0 in scales else max(scales, default=None)


def _candidates(
    checkpoint: CheckpointRecord, evaluated: list[EvaluationRecord], main: float | None
) -> Iterator[Candidate]:
    if checkpoint.kind != "lora":
        yield Candidate(checkpoint.step, None)
        prompted = Candidate(0, None, True)
        if any(one.candidate == prompted.name for one in evaluated):
            yield prompted
        return
    for scale in sorted({one.lora_scale for one in evaluated if one.lora_scale is not None}) or [main or 1.0]:
        yield Candidate(checkpoint.step, scale)


def _title(candidate: Candidate, main: float | None) -> tuple[str, str]:
    if candidate.step == 0:
        return candidate.name, "val_zero_shot" if candidate.prompted else "val"
    title = f"step_{candidate.step:07d}"
    if candidate.lora_scale in (None, main):
        return title, "val"
    return f"{title}_scale_{candidate.lora_scale:g}".replace(".", "p"), f"val_scale_{candidate.lora_scale:g}"


def _require_same_weights(
    recipe: str, checkpoint: CheckpointRecord, evaluation: EvaluationRecord | None
) -> None:
    if evaluation is not None and evaluation.checkpoint_sha256 != checkpoint.sha256:
        raise RecordError(
            f"runs/{recipe}/evaluations.jsonl judged {evaluation.candidate} with sha256 {evaluation.checkpoint_sha256}, "
            f"but checkpoints.json lists {checkpoint.sha256}. Evaluate again: dvc repro evaluate@{recipe}"
        )
