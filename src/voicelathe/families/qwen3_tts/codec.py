"""Qwen3-TTS's codec alone: clips into codes and speaker vectors, and back into sound.

Shapes: F frames, C width of a speaker vector.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from voicelathe.families.base import Spoken
from voicelathe.families.qwen3_tts import loading

if TYPE_CHECKING:
    import numpy as np
    import torch


def encode(
    loaded: loading.Loaded, samples: "Sequence[np.ndarray[Any, Any]]"
) -> "Iterator[dict[str, torch.Tensor]]":
    """Codes [F, 16] (int16) and the speaker vector [1, C] (fp32) of each clip.

    One clip at a time: upstream's codec gives other codes for a clip that is padded to the length of a longer one.
    """
    import torch

    for one in samples:
        assert one.ndim == 1, "mono"
        codes = loaded.codec.encode([one], sr=loaded.facts.encode_rate_hz).audio_codes[0].cpu()
        yield {
            "codes": codes.to(torch.int16).contiguous(),
            "speaker": loading.speaker_vector(loaded, one)[None].cpu(),
        }


def copy(loaded: loading.Loaded, samples: "np.ndarray[Any, Any]") -> Spoken:
    """Through upstream's speech tokenizer and back."""
    import numpy as np

    codes = loaded.codec.encode([samples], sr=loaded.facts.encode_rate_hz).audio_codes[0]
    (decoded,), _ = loaded.codec.decode([{"audio_codes": codes}])
    rate_hz = loaded.facts.speak_rate_hz
    length = round(len(samples) * rate_hz / loaded.facts.encode_rate_hz)
    return Spoken(np.asarray(decoded, np.float32).reshape(-1)[:length], rate_hz, True)
