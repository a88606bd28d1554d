"""Qwen3-TTS's two encoders alone: clips into codes and speaker vectors, and codes back into sound.

Shapes: F frames, C width of a speaker vector.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voicelathe.families.base import Spoken
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass
class Qwen3TTSEncoder:
    """Upstream's speech tokenizer and its speaker encoder, on the device."""

    codec: Any
    speaker_encoder: Any
    facts: BaseFacts
    device: "torch.device"

    def encode(self, samples: "Sequence[np.ndarray[Any, Any]]") -> "Iterator[dict[str, torch.Tensor]]":
        """Codes [F, 16] (int16) and the speaker vector [1, C] (fp32) of each clip.

        One clip at a time: upstream's codec gives other codes for a clip that is padded to the length of a longer one.
        """
        import torch

        for one in samples:
            assert one.ndim == 1, "mono"
            codes = self.codec.encode([one], sr=self.facts.encode_rate_hz).audio_codes[0].cpu()
            yield {
                "codes": codes.to(torch.int16).contiguous(),
                "speaker": self._speaker_vector(one)[None].cpu(),
            }

    def copy(self, samples: "np.ndarray[Any, Any]") -> Spoken:
        """Through upstream's speech tokenizer and back."""
        import numpy as np

        codes = self.codec.encode([samples], sr=self.facts.encode_rate_hz).audio_codes[0]
        (decoded,), _ = self.codec.decode([{"audio_codes": codes}])
        rate_hz = self.facts.speak_rate_hz
        length = round(len(samples) * rate_hz / self.facts.encode_rate_hz)
        return Spoken(np.asarray(decoded, np.float32).reshape(-1)[:length], rate_hz, True)

    def _speaker_vector(self, samples: "np.ndarray[Any, Any]") -> "torch.Tensor":
        """Upstream's mel settings (extract_speaker_embedding); in fp32 whatever the type of the rest, since bf16 loses the average."""
        import torch
        from qwen_tts.core.models.modeling_qwen3_tts import mel_spectrogram

        with torch.no_grad():
            mels = mel_spectrogram(
                torch.from_numpy(samples)[None], n_fft=1024, num_mels=128, sampling_rate=24000, hop_size=256, win_size=1024, fmin=0,
                fmax=12000,
            )  # fmt: skip
            vector: torch.Tensor = self.speaker_encoder(mels.transpose(1, 2).to(self.device))[0]
        return vector.float()
