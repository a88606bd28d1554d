"""What CosyVoice 3 hears in audio: speech tokens and the speaker's vector, through the official ONNX files. The door to onnxruntime for it.

Shapes: S samples at 16 kHz, F frames of 10 ms, A speech tokens of 40 ms.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.errors import FamilyUnavailable
from voicelathe.families.cosyvoice3.files import HEAR_HZ, TOKENS_ONNX, VOICE_ONNX
from voicelathe.families.shared import torchaudio_shim
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import numpy as np
    import torch

WINDOW, HOP, MELS = 400, 160, 128  # of Whisper, whose front the speech tokenizer has
FLOOR_DB = 8.0  # below the loudest value, in powers of ten


class Ears:
    """Both models. On the CPU: they are small, and a device would change last digits."""

    def __init__(self, base: Path, threads: int) -> None:
        self._tokens = _session(base / TOKENS_ONNX, threads)
        self._voice = _session(base / VOICE_ONNX, threads)

    def tokens(self, samples_S: "np.ndarray[Any, Any]") -> "torch.Tensor":
        """Speech tokens [A] (int16) of at most 30 s."""
        import numpy as np
        import torch

        mels = log_mels(samples_S)[None].numpy()
        features, length = (one.name for one in self._tokens.get_inputs())
        (found,) = self._tokens.run(None, {features: mels, length: np.array([mels.shape[2]], np.int32)})
        return torch.from_numpy(found.reshape(-1).astype(np.int16))

    def voice(self, samples_S: "np.ndarray[Any, Any]") -> "torch.Tensor":
        """The speaker's vector [192] (fp32), from 80 Kaldi filter banks without their mean."""
        import torch

        banks_FM = torchaudio_shim.campplus_banks(samples_S, HEAR_HZ)
        (found,) = self._voice.run(None, {self._voice.get_inputs()[0].name: banks_FM[None].numpy()})
        return torch.from_numpy(found.reshape(-1))


@dataclass
class CosyVoice3Encoder:
    """Always on the CPU, whatever `device` says."""

    ears: Ears
    facts: BaseFacts
    device: "torch.device"

    def encode(self, samples: "Sequence[np.ndarray[Any, Any]]") -> "Iterator[dict[str, torch.Tensor]]":
        """Speech tokens [A] (int16) and the speaker's vector [1, 192] (fp32) of each clip, one after the other, as upstream does."""
        for one in samples:
            assert one.ndim == 1, "mono"
            yield {
                "tokens": self.ears.tokens(one).contiguous(),
                "speaker": self.ears.voice(one)[None].contiguous(),
            }


def log_mels(samples_S: "np.ndarray[Any, Any]") -> "torch.Tensor":
    """Whisper's features [128, F], of the clip as long as it is (openai-whisper 20250625, audio.py: window, floor and scale)."""
    import torch
    from transformers.audio_utils import mel_filter_bank

    filters = torch.from_numpy(
        mel_filter_bank(WINDOW // 2 + 1, MELS, 0.0, HEAR_HZ / 2, HEAR_HZ, norm="slaney", mel_scale="slaney")
    ).float()
    spectrum = torch.stft(
        torch.from_numpy(samples_S), WINDOW, HOP, window=torch.hann_window(WINDOW), return_complex=True
    )
    mels = (filters.T @ spectrum[:, :-1].abs().square()).clamp_min(1e-10).log10()
    return (mels.clamp_min(mels.max() - FLOOR_DB) + 4.0) / 4.0


def _session(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as problem:
        raise FamilyUnavailable(
            f"The family cosyvoice3 needs the package onnxruntime ({problem}). Install it: pip install 'voicelathe[cosyvoice3]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; its warnings are about graphs, not about audio
    return onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
