"""`python -m voicelathe.evaluate.metrics PARENT`: one metric, asked by the path of a question on each line of stdin.

The answer goes to answer.json beside the question, and one line to stdout says that it lies there. Whatever the plug-in prints goes
to stderr. It ends with its stdin, and when its parent does.
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
from voicelathe.data.audio import waveform
from voicelathe.data.audio.files import AudioProblem
from voicelathe.evaluate.metrics import found
from voicelathe.evaluate.metrics.base import (
    RATE_HZ,
    Clip,
    Configurable,
    Metric,
    NotApplicable,
    Recognises,
    Values,
)
from voicelathe.records import ClipRef, MetricJob

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Answer questions until there are none."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        return
    asked: ReadyMetric | None = None
    for line in sys.stdin:
        path = Path(line.strip())
        job = records.from_json(MetricJob, json.loads(path.read_text(encoding="utf-8")), str(path))
        asked = asked or ReadyMetric(job)
        digest.write_json(path.with_name("answer.json"), asked.answer(job))
        events.write("answered\n")


class ReadyMetric:
    """A metric with the real clips that it has measured."""

    def __init__(self, job: MetricJob) -> None:
        self._metric: Metric = found.find(job.metric).load()()
        if isinstance(self._metric, Configurable):
            self._metric.configure(job)
        self._missing = self._metric.missing()
        self._refs: list[ClipRef] | None = None
        self._real: list[Clip] = []
        self._measured: list[Values] = []

    def answer(self, job: MetricJob) -> dict[str, Any]:
        """Figures, the values of every clip, and limits from the real ones; or why the metric cannot run."""
        metric = self._metric
        if unfit := self._missing or _unfit(metric, job):
            return {"missing": unfit}
        given = [ref for ref in job.clips if _speaks(metric, ref)]
        try:
            self._measure_real(job.real)
            rows = metric.measure([_load(ref) for ref in given], self._real)
        except NotApplicable as reason:
            return {"missing": str(reason)}
        if len(rows) != len(given):
            raise ValueError(f"{len(rows)} answers for {len(given)} clips")
        heard = metric.said() if isinstance(metric, Recognises) else []
        measured, said = iter(rows), iter(heard)
        return {
            "figures": [records.to_json(figure) for figure in metric.figures],
            "real": self._measured,
            "values": [next(measured) if _speaks(metric, ref) else {} for ref in job.clips],
            "limits": self._limits(),
            "said": [next(said) if _speaks(metric, ref) else None for ref in job.clips] if heard else [],
            "note": getattr(metric, "note", ""),
        }

    def _measure_real(self, refs: list[ClipRef]) -> None:
        if refs == self._refs:
            return
        self._real = [_load(ref) for ref in refs if _speaks(self._metric, ref)]
        self._measured = self._metric.measure(self._real, self._real)
        self._refs = refs

    def _limits(self) -> dict[str, list[float | None]]:
        limits = {}
        for figure in self._metric.figures:
            known = [value for row in self._measured if (value := row.get(figure.name)) is not None]
            if figure.veto and len(known) >= 2:
                limits[figure.name] = list(self._metric.limits(figure.name, known))
        return limits


def _unfit(metric: Metric, job: MetricJob) -> str | None:
    if metric.needs_real and len(job.real) < 2:
        return "needs at least two held-out recordings of the speaker"
    if job.clips and not any(_speaks(metric, ref) for ref in job.clips):
        return f"judges {', '.join(sorted(metric.languages or []))} only; no line is in it"
    return None


def _speaks(metric: Metric, ref: ClipRef) -> bool:
    return metric.languages is None or ref.language.lower().split("-")[0] in metric.languages


def _load(ref: ClipRef) -> Clip:
    """A file without a sample is a clip in which nothing was said."""
    try:
        samples, rate_hz = waveform.of_ref(ref)
    except AudioProblem as problem:
        if problem.code != "no_samples":
            raise
        return Clip(np.zeros(0, np.float32), ref.text, ref.language)
    mono = waveform.resample(samples, rate_hz, RATE_HZ)
    return Clip(np.ascontiguousarray(mono, np.float32), ref.text, ref.language)


if __name__ == "__main__":
    main()
