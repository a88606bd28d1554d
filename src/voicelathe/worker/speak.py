"""Verb `speak`: candidates speak lines, each written as a WAV and judged for the failures that need no reference.

With `interactive` the worker then answers requests from stdin with the first candidate, for serving.
"""

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from voicelathe import checkpoints, digest, families, records
from voicelathe.config import schema
from voicelathe.data.audio import waveform
from voicelathe.data.lexicon.reading import as_read
from voicelathe.errors import VoiceLatheError
from voicelathe.families.base import BaseVoice, Spoken
from voicelathe.families.optional import Cloning
from voicelathe.parallel import local, on_node
from voicelathe.parallel.needs import Needs, WorkWatch, base_bytes
from voicelathe.process import jobs, sample_files
from voicelathe.worker import prompts
from voicelathe.worker.weights import HeldVoice, Swapper

SILENT_DBFS = -60.0
EMPTY_S = 0.1


@dataclass(frozen=True)
class Passage:
    """Some lines of one candidate; the first of them is the `position`th that it has to say."""

    ref: jobs.WeightsRef
    lines: Sequence[records.Line]
    position: int


_voices: dict[str, HeldVoice] = {}  # at most one; a process of a cluster keeps it for its next passage


def run(job: jobs.SpeakJob, emit: Any) -> dict[str, Any]:
    """Speak what is not spoken yet; a sample is finished when its record stands beside its WAV file."""
    passages = _passages(job)
    if not passages and not job.interactive:
        return {"spoken": 0}
    emit(jobs.PHASE, {"name": "load", "step": 0, "micro": 0})
    if job.engine.kind != "ray":
        _voice(job)
    watch = WorkWatch(notice=lambda text: emit(jobs.NOTICE, {"text": text}), content=_content)
    work, needs = partial(_said, job), _needs(job, passages)
    try:
        results = local.map_shards(work, passages, _engine(job), needs, watch)
        total = _keep(job, passages, results, emit)
        if job.interactive:
            _answer(job, _voice(job), emit)
    finally:
        _voices.clear()
    return {"spoken": total}


def _passages(job: jobs.SpeakJob) -> list[Passage]:
    """What is missing, candidate by candidate: one line a passage in this process, so that each is kept and told at once."""
    missing = [(ref, [line for line in job.lines if not _is_finished(job, ref, line)]) for ref in job.weights]
    num_lines = sum(len(lines) for _, lines in missing)
    size = local.task_size(num_lines, job.engine) if job.engine.kind == "ray" else 1
    return [
        Passage(ref, lines[start : start + size], start)
        for ref, lines in missing
        for start in range(0, len(lines), size)
    ]


def _engine(job: jobs.SpeakJob) -> schema.Engine:
    """Several workers of this machine have a job each, so only a cluster is asked for more than one process."""
    return job.engine if job.engine.kind == "ray" else jobs.IN_THE_WORKER


def _needs(job: jobs.SpeakJob, passages: Sequence[Passage]) -> Needs:
    """What every node has to have: the base and the code that reads it, the checkpoints, what is heard, and room for a task."""
    if job.engine.kind != "ray":
        return Needs()
    target, spec = job.target, families.spec(job.target.family)
    files = {
        str(Path(passage.ref.path, checkpoints.MANIFEST))
        for passage in passages
        if passage.ref.kind != "base"
    }
    for heard in [
        passage.ref.reference or job.reference for passage in passages if passage.ref.candidate.prompted
    ]:
        files |= {str(Path(heard.audio_root, heard.clips[0].audio))} if heard else set()
    return Needs(
        tuple(sorted(files)), (target.base,), spec.requires, is_exact=True, cpus=target.machine.threads,
        gpus=int(target.machine.device == "cuda"), memory_bytes=base_bytes(Path(target.base)),
    )  # fmt: skip


def _content(passage: Passage) -> str:
    return f"{passage.ref.candidate.name}, {len(passage.lines)} lines from {passage.lines[0].line_id}"


def _said(job: jobs.SpeakJob, passage: Passage) -> list[tuple[Spoken, float]]:
    """What a candidate says, in this process or one of a cluster, each line with the seconds it took."""
    on_node.use_threads(job.target.machine.threads)
    with on_node.named(_content(passage)):
        voice = _voice(job)
        voice.take(passage.ref)
        return [_timed(job, passage.ref, voice.swapper.opened, line) for line in passage.lines]


def _timed(
    job: jobs.SpeakJob, ref: jobs.WeightsRef, voice: BaseVoice, line: records.Line
) -> tuple[Spoken, float]:
    """On the CPU its own seconds, which others on the machine do not lengthen; on a GPU those of the clock."""
    clock = time.process_time if job.target.machine.device == "cpu" else time.perf_counter
    begun = clock()
    settings, lexicon = sample_files.settings(job, ref), job.target.lexicon
    spoken = _speak(job, ref, voice, line, job.max_seconds, settings, lexicon)
    return spoken, clock() - begun


def _voice(job: jobs.SpeakJob) -> HeldVoice:
    """The base of a job, opened once in a process."""
    key = digest.of_value(records.to_json(job))
    if key not in _voices:
        _voices.clear()
        family, base, machine = families.find(job.target.family), Path(job.target.base), job.target.machine
        voice = family.open_voice(base, family.describe(base, "", True), machine)
        _voices[key] = HeldVoice(Swapper(family, voice, job.lora, job.weights))
    return _voices[key]


def _keep(
    job: jobs.SpeakJob,
    passages: Sequence[Passage],
    results: Iterator[Sequence[tuple[Spoken, float]]],
    emit: Any,
) -> int:
    """Write each sample and its record as soon as it is there. Returns how many."""
    done, total = 0, sum(len(passage.lines) for passage in passages)
    for passage in passages[:1]:
        _announce(passage, emit)
    for following, (passage, found) in enumerate(zip(passages, results, strict=True), 1):
        for line, (spoken, took_s) in zip(passage.lines, found, strict=True):
            record, settings = (
                sample_files.place(job, passage.ref, line),
                sample_files.settings(job, passage.ref),
            )
            sample = _sample(passage.ref.candidate, line, spoken, settings, record.with_suffix(".wav"))
            if job.timed:
                digest.write_json(sample_files.seconds(record), {"seconds": took_s})
            digest.write_json(
                record, {"key": sample_files.key(job, passage.ref, line), "sample": records.to_json(sample)}
            )
            done += 1
            emit(jobs.PROGRESS, {"done": done, "total": total, "unit": "samples"})
        for passage in passages[following : following + 1]:
            _announce(passage, emit)
    return total


def _announce(passage: Passage, emit: Any) -> None:
    emit(jobs.PHASE, {"name": "speak", "step": passage.ref.candidate.step, "micro": passage.position})


def _speak(
    job: jobs.SpeakJob,
    ref: jobs.WeightsRef,
    voice: BaseVoice,
    line: records.Line,
    max_seconds: float,
    decoding: dict[str, float],
    lexicon: records.Lexicon | None,
) -> Spoken:
    text = as_read(lexicon, line.text, line.language, line.control)
    if not ref.candidate.prompted:
        return voice.synthesize(text, line.language, line.seed, max_seconds, decoding)
    reference = ref.reference or job.reference
    assert isinstance(voice, Cloning) and reference is not None, "params refuse a recipe that asks for it"
    with prompts.heard(reference, voice.facts.encode_rate_hz, lexicon) as prompt:
        return voice.synthesize_prompted(text, line.language, line.seed, max_seconds, decoding, prompt)


def _answer(job: jobs.SpeakJob, voice: HeldVoice, emit: Any) -> None:
    """One request line in, one event out with its id; a request that fails does not end the worker."""
    voice.take(job.weights[0])
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
            voice.take(ref)
            sample = records.to_json(_requested(job, voice.swapper, ref, request))
            emit(jobs.SAMPLE, {"request_id": request_id, "sample": sample})
        except (VoiceLatheError, ValueError, OSError) as problem:
            failure = {"error": type(problem).__name__, "message": str(problem)}
            emit(jobs.FAILED, {**failure, "request_id": request_id})


def _requested(
    job: jobs.SpeakJob, swapper: Swapper[BaseVoice], ref: jobs.WeightsRef, request: jobs.SpeakRequest
) -> records.SampleRecord:
    decoding = sample_files.settings(job, ref) if request.decoding is None else request.decoding
    scale = ref.candidate.lora_scale if request.lora_scale is None else request.lora_scale
    if ref.kind == "lora" and scale is not None:
        swapper.scale(scale)
    line = records.Line("request", request.text, request.language, request.seed)
    spoken = _speak(job, ref, swapper.opened, line, request.max_seconds, decoding, request.lexicon)
    candidate = replace(ref.candidate, lora_scale=scale if ref.kind == "lora" else None)
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


def _is_finished(job: jobs.SpeakJob, ref: jobs.WeightsRef, line: records.Line) -> bool:
    path = sample_files.place(job, ref, line)
    if not path.is_file() or (stored := digest.read_json(path)).get("key") != sample_files.key(
        job, ref, line
    ):
        return False
    wav = Path(stored["sample"]["path"])
    return wav.is_file() and digest.of_file(wav) == stored["sample"]["sha256"]
