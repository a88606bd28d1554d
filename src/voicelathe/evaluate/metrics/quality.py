"""Built-in metric `quality`: DNSMOS P.808, an estimate of the opinion score of noise and artefacts (Reddy et al. 2021).

Trained on denoised speech: it hears noise, clipping and vocoder artefacts, and is blind to wrong words and wrong speakers.
Its model is a file of the wheel speechmos (MIT); the package itself is not imported.
"""

import importlib.resources
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from voicelathe.evaluate.metrics.base import RATE_HZ, Clip, Samples, Values
from voicelathe.records import Figure
from voicelathe.speech import mel

WINDOW_S, HOP_S = 9.01, 1.0  # what the model was trained on; shorter clips are repeated, as upstream does
SLACK = 0.3


class Quality:
    """Mean over windows of nine seconds."""

    name = "quality"
    languages = None
    needs_real = False
    figures = (Figure("p808", "MOS", "higher", "artefacts", "DNSMOS P.808 estimate, 1 to 5"),)

    def missing(self) -> str | None:
        absent = [name for name in ("onnxruntime", "speechmos") if find_spec(name) is None]
        return f"{' and '.join(absent)} not installed: pip install 'voicelathe[metrics]'" if absent else None

    def measure(self, clips: Sequence[Clip], real: Sequence[Clip]) -> list[Values]:
        return [{"p808": p808(clip.samples)} for clip in clips]

    def limits(self, figure: str, real: Sequence[float]) -> tuple[float | None, float | None]:
        return float(np.percentile(real, 5)) - SLACK, None


def p808(samples: Samples) -> float | None:
    """The estimate, or None for digital silence."""
    if not len(samples) or not np.abs(samples).max():
        return None
    size, hop = round(WINDOW_S * RATE_HZ), round(HOP_S * RATE_HZ)
    samples = np.clip(np.tile(samples, 2 ** max(0, int(np.ceil(np.log2(size / len(samples)))))), -1.0, 1.0)
    starts = range(0, len(samples) - size + 1, hop)
    scores = [
        _session().run(None, {"input_1": _features(samples[start : start + size])[None]})[0][0][0]
        for start in starts
    ]
    return float(np.mean(scores))


def _features(samples: Samples) -> Samples:
    """120 mel bands in dB below the loudest, shifted to about -1..1, of all but the last 10 ms."""
    power = mel.bands(samples[:-160], frame=321, step=160, bands=120)
    decibel = 10.0 * np.log10(np.maximum(power, 1e-10)) - 10.0 * np.log10(max(float(power.max()), 1e-10))
    return np.asarray((np.maximum(decibel, -80.0) + 40.0) / 40.0, np.float32)


@cache
def _session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = importlib.resources.files("speechmos").joinpath("dnsmos_models", "model_v8.onnx").read_bytes()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
