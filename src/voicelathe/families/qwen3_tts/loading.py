"""Opening a Qwen3-TTS directory with upstream's own classes, whole or its two encoders alone."""

import os
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe import digest
from voicelathe.errors import FamilyUnavailable
from voicelathe.families.base import Recompute
from voicelathe.families.qwen3_tts.files import SPEAKER_ENCODER
from voicelathe.families.shared import torchaudio_shim
from voicelathe.families.shared.base_directory import CONFIG, WEIGHTS
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import numpy as np
    import torch

MAX_MAJOR = 5  # of transformers: qwen-tts 0.1.1 cannot be imported beside it


@dataclass
class Loaded:
    """A loaded base: `core` is upstream's model without speaker encoder, or None when only the encoders were asked for."""

    core: Any
    tts: Any  # upstream's wrapper: processor and generation
    codec: Any
    speaker_encoder: Any
    facts: BaseFacts
    base: Path
    device: "torch.device"
    voices: "dict[str, torch.Tensor]" = field(
        default_factory=dict
    )  # lower-case speaker -> fp32 [C]; main one first
    recompute: Recompute = "none"


def upstream() -> Any:
    """Import qwen_tts. Raises FamilyUnavailable with the command that makes it work."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        if int((seen := version("transformers")).split(".")[0]) >= MAX_MAJOR:
            raise FamilyUnavailable(
                f"The family qwen3_tts needs transformers before {MAX_MAJOR}; {seen} is installed and qwen-tts cannot be imported "
                "beside it. Install: pip install 'transformers==4.57.3'"
            )
        torchaudio_shim.ensure()
        import qwen_tts
    except (ImportError, PackageNotFoundError) as problem:
        raise FamilyUnavailable(
            f"The family qwen3_tts needs the package qwen-tts ({problem}). Install it: pip install 'voicelathe[qwen3-tts]'"
        ) from None
    return qwen_tts


def encoders(base: Path) -> tuple[Any, Any]:
    """Codec and speaker encoder alone, by upstream's own classes, without the language model's memory."""
    import torch
    from qwen_tts import Qwen3TTSTokenizer
    from qwen_tts.core.models import Qwen3TTSConfig
    from qwen_tts.core.models.modeling_qwen3_tts import Qwen3TTSSpeakerEncoder
    from safetensors import safe_open

    from voicelathe.families.shared import weights

    codec = Qwen3TTSTokenizer.from_pretrained(str(base / "speech_tokenizer"), dtype=torch.float32)
    config = Qwen3TTSConfig(**digest.read_json(base / CONFIG))
    with weights.without_weights():
        encoder = Qwen3TTSSpeakerEncoder(config.speaker_encoder_config).float()
    own = {f"{SPEAKER_ENCODER}{name}": one for name, one in encoder.state_dict(keep_vars=True).items()}
    with safe_open(base / WEIGHTS, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(SPEAKER_ENCODER)]  # noqa: SIM118
        weights.fill(own, names, file.get_tensor, base / WEIGHTS)
    return codec, encoder.eval()


def speaker_vector(loaded: Loaded, samples: "np.ndarray[Any, Any]") -> "torch.Tensor":
    """Upstream's mel settings (extract_speaker_embedding); in fp32 whatever the type of the rest, since bf16 loses the average."""
    import torch
    from qwen_tts.core.models.modeling_qwen3_tts import mel_spectrogram

    with torch.no_grad():
        mels = mel_spectrogram(
            torch.from_numpy(samples)[None], n_fft=1024, num_mels=128, sampling_rate=24000, hop_size=256, win_size=1024, fmin=0,
            fmax=12000,
        )  # fmt: skip
        vector: torch.Tensor = loaded.speaker_encoder(mels.transpose(1, 2).to(loaded.device))[0]
    return vector.float()
