"""`python -m voicelathe.evaluate.metrics JOB OUT PARENT`: one metric over the clips of a job; its result goes to OUT as JSON.

Whatever the plug-in prints goes to stderr. It ends when its parent does.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from voicelathe import digest, records
from voicelathe.data import audio
from voicelathe.evaluate.metrics import found
from voicelathe.evaluate.metrics.base import RATE_HZ, Clip, Metric, NotApplicable
from voicelathe.records import ClipRef, MetricJob

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Read the job, measure, write."""
    os.dup2(2, 1)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[3]):
        return
    job = records.from_json(MetricJob, json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[1])
    digest.write_json(Path(sys.argv[2]), run(job))


def run(job: MetricJob) -> dict[str, Any]:
    """Figures, the values of every clip, and limits from the real ones; or why the metric cannot run."""
    metric: Metric = found.find(job.metric).load()()
    if unfit := metric.missing() or _unfit(metric, job):
        return {"missing": unfit}
    real = [_load(ref) for ref in job.real if _speaks(metric, ref)]
    given = [ref for ref in job.clips if _speaks(metric, ref)]
    try:
        measured_real = metric.measure(real, real)
        rows = metric.measure([_load(ref) for ref in given], real)
    except NotApplicable as reason:
        return {"missing": str(reason)}
    if len(rows) != len(given):
        raise ValueError(f"{len(rows)} answers for {len(given)} clips")
    measured = iter(rows)
    values = [next(measured) if _speaks(metric, ref) else {} for ref in job.clips]
    limits = {}
    for figure in metric.figures:
        known = [value for row in measured_real if (value := row.get(figure.name)) is not None]
        if figure.veto and len(known) >= 2:
            limits[figure.name] = list(metric.limits(figure.name, known))
    return {
        "figures": [records.to_json(figure) for figure in metric.figures],
        "real": measured_real,
        "values": values,
        "limits": limits,
    }


def _unfit(metric: Metric, job: MetricJob) -> str | None:
    if metric.needs_real and len(job.real) < 2:
        return "needs at least two held-out recordings of the speaker"
    if job.clips and not any(_speaks(metric, ref) for ref in job.clips):
        return f"judges {', '.join(sorted(metric.languages or []))} only; no line is in it"
    return None


def _speaks(metric: Metric, ref: ClipRef) -> bool:
    return metric.languages is None or ref.language.split("-")[0] in metric.languages


def _load(ref: ClipRef) -> Clip:
    samples, rate_hz = audio.read_clip(Path(ref.root), ref.audio, ref.start_s, ref.end_s, ref.sha256)
    mono = audio.resample(audio.mono(samples), rate_hz, RATE_HZ)
    return Clip(np.ascontiguousarray(mono, np.float32), ref.text, ref.language)


if __name__ == "__main__":
    main()
