"""Verb `speak`: candidates speak lines, each written as a WAV and judged for the failures that need no reference.

With `interactive` the worker then answers requests from stdin with the first candidate, for serving.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from voicelathe import digest, families, records
from voicelathe.data.audio import waveform
from voicelathe.errors import VoiceLatheError
from voicelathe.families.base import Promptable, Spoken
from voicelathe.process import jobs
from voicelathe.worker import prompts
from voicelathe.worker.weights import Swapper

REVISION = 1  # of the spoken samples: a new one speaks every line again
SILENT_DBFS = -60.0
EMPTY_S = 0.1


def run(job: jobs.SpeakJob, emit: Any) -> dict[str, Any]:
    """Speak what is not spoken yet; a sample is finished when its record stands beside its WAV file."""
    missing = [(ref, [line for line in job.lines if not _is_finished(job, ref, line)]) for ref in job.weights]
    todo = [(ref, lines) for ref, lines in missing if lines]
    if not todo and not job.interactive:
        return {"spoken": 0}
    emit(jobs.PHASE, {"name": "load", "step": 0, "micro": 0})
    family, target = families.find(job.target.family), job.target
    loaded = family.load(
        Path(target.base), family.describe(Path(target.base), "", True), target.machine, "all"
    )
    swapper = Swapper(family, loaded, Path(target.base), job.lora, job.weights)
    done, total = 0, sum(len(lines) for _, lines in todo)
    for ref, lines in todo:
        swapper.put(ref)
        for position, line in enumerate(lines):
            emit(jobs.PHASE, {"name": "speak", "step": ref.candidate.step, "micro": position})
            spoken = _speak(job, ref, swapper, line)
            sample = _sample(
                ref.candidate,
                line,
                spoken,
                job.decoding,
                jobs.sample_record(job, ref, line).with_suffix(".wav"),
            )
            record = {"key": _key(job, ref, line), "sample": records.to_json(sample)}
            digest.write_json(jobs.sample_record(job, ref, line), record)
            done += 1
            emit(jobs.PROGRESS, {"done": done, "total": total, "unit": "samples"})
    if job.interactive:
        _answer(job, swapper, emit)
    return {"spoken": total}


def _speak(job: jobs.SpeakJob, ref: jobs.WeightsRef, swapper: Swapper, line: records.Line) -> Spoken:
    family, loaded = swapper.family, swapper.loaded
    if not ref.candidate.prompted:
        return family.synthesize(loaded, line.text, line.language, line.seed, job.max_seconds, job.decoding)
    heard = ref.reference or job.reference
    assert isinstance(family, Promptable) and heard is not None, "params refuse a recipe that asks for it"
    with prompts.as_file(heard, loaded.facts.encode_rate_hz) as path:
        said = heard.clips[0].text
        return family.synthesize_prompted(
            loaded, line.text, line.language, line.seed, job.max_seconds, job.decoding, path, said
        )


def _answer(job: jobs.SpeakJob, swapper: Swapper, emit: Any) -> None:
    """One request line in, one event out with its id; a request that fails does not end the worker."""
    held: jobs.WeightsRef | None = job.weights[0]
    swapper.put(job.weights[0])
    emit(jobs.READY, {})
    for line in sys.stdin:
        request_id = ""
        try:
            request = records.from_json(jobs.SpeakRequest, json.loads(line), "stdin")
            request_id = request.request_id
            if not request.text:
                emit(jobs.SAMPLE, {"request_id": request_id, "sample": None})
                continue
            ref = request.weights or job.weights[0]
            if ref != held:
                held = None  # until all of them are in place
                swapper.put(ref)
                held = ref
            sample = records.to_json(_requested(swapper, ref, request, job.decoding))
            emit(jobs.SAMPLE, {"request_id": request_id, "sample": sample})
        except (VoiceLatheError, ValueError, OSError) as problem:
            failure = {"error": type(problem).__name__, "message": str(problem)}
            emit(jobs.FAILED, {**failure, "request_id": request_id})


def _requested(
    swapper: Swapper, ref: jobs.WeightsRef, request: jobs.SpeakRequest, own: dict[str, float]
) -> records.SampleRecord:
    decoding = own if request.decoding is None else request.decoding
    scale = ref.candidate.lora_scale if request.lora_scale is None else request.lora_scale
    if ref.kind == "lora" and scale is not None:
        swapper.scale(scale)
    spoken = swapper.family.synthesize(
        swapper.loaded, request.text, request.language, request.seed, request.max_seconds, decoding
    )
    line = records.Line("request", request.text, request.language, request.seed)
    candidate = records.Candidate(ref.candidate.step, scale if ref.kind == "lora" else None)
    return _sample(candidate, line, spoken, decoding, Path(request.path))


def _sample(
    candidate: records.Candidate, line: records.Line, spoken: Spoken, decoding: dict[str, float], path: Path
) -> records.SampleRecord:
    problem = _problem(spoken)
    finite = np.nan_to_num(spoken.samples, nan=0.0, posinf=0.0, neginf=0.0)
    waveform.write_wav(path, finite, spoken.rate_hz)
    return records.SampleRecord(
        candidate=candidate.name, step=candidate.step, lora_scale=candidate.lora_scale, line_id=line.line_id, text=line.text,
        seed=line.seed, decoding=decoding, path=path.as_posix(), sha256=digest.of_file(path), duration_s=round(len(finite) / spoken.rate_hz, 4),
        peak_dbfs=_dbfs(float(np.max(np.abs(finite), initial=0.0))),
        rms_dbfs=_dbfs(float(np.sqrt(np.mean(finite.astype(np.float64) ** 2))) if len(finite) else 0.0),
        stopped=spoken.stopped, problem=problem,
    )  # fmt: skip


def _problem(spoken: Spoken) -> str | None:
    """Failures that can be seen in the samples alone; the first that applies."""
    if not np.isfinite(spoken.samples).all():
        return "nonfinite"
    if len(spoken.samples) < EMPTY_S * spoken.rate_hz:
        return "empty"
    level = _dbfs(float(np.max(np.abs(spoken.samples))))
    if level is None or level < SILENT_DBFS:
        return "silent"
    return None if spoken.stopped else "runaway"


def _dbfs(amplitude: float) -> float | None:
    return round(20.0 * math.log10(amplitude), 2) if amplitude > 0 else None


def _key(job: jobs.SpeakJob, ref: jobs.WeightsRef, line: records.Line) -> str:
    """Everything one sample depends on."""
    machine = job.target.machine
    parts = [
        REVISION,
        ref.sha256,
        ref.candidate.lora_scale,
        job.target.base_digest,
        records.to_json(line),
        job.max_seconds,
        job.decoding,
        machine.device,
        machine.threads,
    ]
    reference = ref.reference or job.reference
    if ref.candidate.prompted and reference is not None:
        heard = reference.clips[0]  # its id does not know how its silence was trimmed
        parts.append([*heard.sound, heard.text])
    return digest.of_value(parts)


def _is_finished(job: jobs.SpeakJob, ref: jobs.WeightsRef, line: records.Line) -> bool:
    path = jobs.sample_record(job, ref, line)
    if not path.is_file() or (stored := digest.read_json(path)).get("key") != _key(job, ref, line):
        return False
    wav = Path(stored["sample"]["path"])
    return wav.is_file() and digest.of_file(wav) == stored["sample"]["sha256"]
