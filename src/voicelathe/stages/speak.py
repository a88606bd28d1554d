"""Candidates speak lines in workers, one speaker a device; what was said before is not said again."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from voicelathe import families, records
from voicelathe.config import schema
from voicelathe.process import environments, jobs, runner, sample_files
from voicelathe.runs.identity import target


def speak(
    params: schema.Params,
    run: records.RunRecord,
    refs: list[jobs.WeightsRef],
    lines: list[records.Line],
    max_seconds: float,
    decoding: dict[str, float],
    out: Path,
    reference: jobs.Reference | None = None,
    workers: int = 1,
    shared: Path | None = None,
    timed: bool = False,
) -> list[records.SampleRecord]:
    """Let candidates speak lines, `workers` at a time; samples of an earlier, equal request are reused, one by one.

    With engine.kind: ray lines are spread over the cluster, else candidates over processes of this machine.

    Samples lie below `out`, those of untouched bases below `shared`, where it is given.
    Where the family's own interpreter is missing nothing is spoken, and every sample says so.
    """
    if lacking := environments.lacking(run.identity.family, "speak"):
        print(f"{run.recipe}: nothing is spoken. {lacking}", file=sys.stderr)
        return [_unspoken(ref.candidate, line, ref.decoding or decoding) for ref in refs for line in lines]
    job = jobs.SpeakJob(
        target=target(params, run.identity.base, run.identity.lexicon), lora=run.identity.train.lora, weights=refs, lines=lines,
        max_seconds=max_seconds, decoding=decoding, reference=reference, out=str(out), interactive=False, shared=str(shared) if shared else None,
        timed=timed,
    )  # fmt: skip
    if workers > 1 and on_cluster(params.engine, run.recipe, run.identity.family):
        runner.run(replace(job, engine=replace(params.engine, workers=workers)), run.recipe)
    else:
        shares = [refs[number::workers] for number in range(min(workers, len(refs)))]
        runner.run_all([replace(job, weights=share) for share in shares], run.recipe, params.machine.device)
    return [sample_files.read(job, ref, line) for ref in refs for line in lines]


def takes(lines: Sequence[records.PackLine], seeds: Sequence[int]) -> list[records.Line]:
    """Every line with every seed."""
    return [records.Line(line.id, line.text, line.language, seed) for line in lines for seed in seeds]


def on_cluster(engine: schema.Engine, recipe: str, family: str) -> bool:
    """Whether nodes of a cluster speak; where they cannot, because the family has an interpreter of its own, that is said."""
    if engine.kind != "ray":
        return False
    if is_elsewhere := "speak" in families.spec(family).elsewhere:
        why = "speaks in an interpreter of its own, which nodes of a cluster do not have: processes of this machine do it"
        print(f"{recipe}: {family} {why}", file=sys.stderr)
    return not is_elsewhere


def _unspoken(
    candidate: records.Candidate, line: records.Line, decoding: dict[str, float]
) -> records.SampleRecord:
    return records.SampleRecord(
        candidate=candidate.name, step=candidate.step, lora_scale=candidate.lora_scale, line_id=line.line_id, text=line.text,
        seed=line.seed, decoding=decoding, path=None, sha256=None, duration_s=0.0, peak_dbfs=None, rms_dbfs=None, stopped=False,
        problem=records.NOT_SPOKEN,
    )  # fmt: skip
