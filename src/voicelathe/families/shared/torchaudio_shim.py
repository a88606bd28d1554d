"""Lets upstream packages import torchaudio beside any build of torch; we ourselves use its Kaldi features.

The torchaudio 2.11 wheel links CUDA 13.0, so beside a CPU torch its import raises OSError, beside a torch of another CUDA RuntimeError,
and takes voxcpm, qwen_tts and parts of transformers with it. With its extension module replaced by an empty one, the pure-torch
parts import and work.
"""

import os
import sys
import types
import wave
from importlib import import_module
from typing import TYPE_CHECKING, Any

from voicelathe.errors import FamilyUnavailable

if TYPE_CHECKING:
    import numpy as np
    import torch


def ensure() -> str:
    """Make `import torchaudio` work; returns "native", "no extension" or "absent". Call before importing an upstream package.

    A constant of its Kaldi features is a tensor that is made while it is imported: on the CPU, also for a model that is only sketched.
    """
    import torch

    try:
        with torch.device("cpu"):
            import torchaudio  # noqa: F401
    except ModuleNotFoundError:
        return "absent"
    except (OSError, RuntimeError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _no_extension()

        return "no extension"
    return "native"


def kaldi() -> Any:
    """torchaudio's Kaldi features, which are plain torch. Raises ImportError when torchaudio is not installed."""
    ensure()
    from torchaudio.compliance import kaldi as features

    return features


def campplus_banks(samples_S: "np.ndarray[Any, Any]", rate_hz: int) -> "torch.Tensor":
    """What a campplus hears of a mono clip: 80 Kaldi filter banks [F, 80] without their mean."""
    import torch

    banks_FM = kaldi().fbank(
        torch.from_numpy(samples_S)[None], num_mel_bins=80, dither=0, sample_frequency=rate_hz
    )
    without_mean: torch.Tensor = banks_FM - banks_FM.mean(dim=0, keepdim=True)
    return without_mean


def upstream(module: str, name: str, who: str, environment: str, device: "torch.device") -> Any:
    """A class of upstream's code that has no package, in the interpreter of `voicelathe env create`; on the CPU it sees no card.

    `who`: the beginning of the sentence that FamilyUnavailable says anywhere else, such as "CosyVoice 3 speaks".
    """
    if device.type == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # upstream takes a card whenever it sees one
    ensure()
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as problem:
        raise FamilyUnavailable(
            f"{who} with upstream's own code, which this interpreter cannot import ({problem}). Run: voicelathe env create {environment}"
        ) from None


def read_wavs() -> None:
    """Let `torchaudio.load` read the worker's WAV files: from 2.9 on its own needs torchcodec, which needs FFmpeg's libraries."""
    import torchaudio

    torchaudio.load = _read_wav


def _read_wav(path: str, *_: Any, **__: Any) -> tuple[Any, int]:
    """A mono 16-bit WAV, as the worker writes references: samples [1, S] and their rate."""
    import torch

    with wave.open(path) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        frames = bytearray(file.readframes(file.getnframes()))
        return torch.frombuffer(frames, dtype=torch.int16)[None].float() / 2**15, file.getframerate()


def _no_extension() -> types.ModuleType:
    stub = types.ModuleType("torchaudio._extension")
    stub.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        fail_if_no_align=lambda function: function,
        lazy_import_sox_ext=lambda: None,
    )
    return stub
