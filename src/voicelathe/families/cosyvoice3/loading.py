"""Opening the language model of a CosyVoice 3 directory. Importable without torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe import digest
from voicelathe.families.cosyvoice3 import sketch
from voicelathe.families.cosyvoice3.files import CONFIG, WEIGHTS
from voicelathe.families.shared import speaker_means
from voicelathe.families.shared.opened import OpenedBase

if TYPE_CHECKING:
    import torch

LAYERS = r"llm\.model\.model\.layers\.\d+"
SCOPES = {
    "attention": rf"{LAYERS}\.self_attn\.(q|k|v|o)_proj",
    "mlp": rf"{LAYERS}\.mlp\.(gate|up|down)_proj",
}
ADAPTED = "llm.model."  # what upstream's users wrap with peft: the Qwen2 inside


@dataclass
class CosyVoice3Core(OpenedBase):
    """What is trained and what speaks: `core` is the language model."""

    scopes = SCOPES

    voices: "dict[str, torch.Tensor]" = field(
        default_factory=dict, kw_only=True
    )  # speaker -> fp32 [192]; main one first

    def recall(self, directory: Path) -> None:
        self.voices = speaker_means.read(directory)

    def load_full(self, directory: Path) -> None:
        from voicelathe.families.shared.weights import copy_weights

        copy_weights(directory, self.core.state_dict(keep_vars=True), file_name=WEIGHTS)


def opened(base: Path, keep_bf16: bool) -> Any:
    """The module with the weights of a directory, fp32 unless it may stay bf16."""
    from voicelathe.families.shared.weights import copy_weights, without_weights

    with without_weights():
        core = sketch.built(digest.read_json(base / CONFIG), base)
    copy_weights(base, core.state_dict(keep_vars=True), file_name=WEIGHTS, keep_bf16=keep_bf16)
    return core
