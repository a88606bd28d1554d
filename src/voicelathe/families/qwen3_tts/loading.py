"""Opening a Qwen3-TTS directory with upstream's own classes, whole or its two encoders alone."""

import os
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe import digest
from voicelathe.errors import FamilyUnavailable
from voicelathe.families.qwen3_tts import speakers
from voicelathe.families.qwen3_tts.files import SPEAKER_ENCODER
from voicelathe.families.shared import torchaudio_shim
from voicelathe.families.shared.base_directory import CONFIG, WEIGHTS
from voicelathe.families.shared.opened import OpenedBase

if TYPE_CHECKING:
    import torch

MAX_MAJOR = 5  # of transformers: qwen-tts 0.1.1 cannot be imported beside it
LINEARS = r"layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
SCOPES = {
    "talker": rf"talker\.model\.{LINEARS}",
    "code_predictor": rf"talker\.code_predictor\.model\.{LINEARS}",
}


@dataclass
class Qwen3TTSCore(OpenedBase):
    """What is trained and what speaks: `core` is upstream's model without speaker encoder."""

    scopes = SCOPES

    tts: Any  # upstream's wrapper: processor and generation
    voices: "dict[str, torch.Tensor]" = field(
        default_factory=dict, kw_only=True
    )  # lower-case speaker -> fp32 [C]; main one first

    def recall(self, directory: Path) -> None:
        """From the adapter's own file, or from the rows that a custom-voice directory keeps its speakers in."""
        self.voices = speakers.read(directory)

    def load_full(self, directory: Path) -> None:
        from voicelathe.families.shared.weights import copy_weights

        copy_weights(directory, weights(self.core), besides=SPEAKER_ENCODER)


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


def opened(upstream: Any, base: Path, dtype: "torch.dtype") -> Any:
    """Upstream's wrapper around its whole model, without the speaker encoder."""
    tts = upstream.Qwen3TTSModel.from_pretrained(str(base), dtype=dtype, attn_implementation="sdpa")
    # without a mask only this is causal
    assert tts.model.talker.code_predictor.config._attn_implementation == "sdpa"
    tts.model.speaker_encoder = None
    return tts


def weights(core: Any) -> "dict[str, torch.Tensor]":
    """Upstream's names of what model.safetensors holds, without the speaker encoder."""
    found: dict[str, torch.Tensor] = core.state_dict(keep_vars=True)
    return found


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
