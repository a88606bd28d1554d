"""Opening the GPT of an IndexTTS2 directory. Importable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from voicelathe.families.indextts2 import files, sketch, speakers
from voicelathe.families.indextts2.editions import TWO, Edition
from voicelathe.families.indextts2.files import WEIGHTS
from voicelathe.families.shared.opened import OpenedBase

if TYPE_CHECKING:
    import torch

SCOPES = {"attention": r"gpt\.h\.\d+\.attn\.c_(attn|proj)", "mlp": r"gpt\.h\.\d+\.mlp\.c_(fc|proj)"}


@dataclass
class IndexTTS2Core(OpenedBase):
    """What is trained and what speaks: `core` is the GPT."""

    scopes = SCOPES
    edition: ClassVar[Edition] = TWO

    shape: Mapping[str, Any]  # of the GPT: config.yaml, its part `gpt`
    voices: "dict[str, dict[str, torch.Tensor]]" = field(
        default_factory=dict, kw_only=True
    )  # speaker -> their reference

    def recall(self, directory: Path) -> None:
        self.voices = speakers.read(directory)

    def load_full(self, directory: Path) -> None:
        from voicelathe.families.shared.weights import copy_weights

        own = self.core.state_dict(keep_vars=True)
        trained = files.tensor_names(self.shape["layers"], self.edition)
        weights = {name: tensor for name, tensor in own.items() if name in trained}
        copy_weights(directory, weights, besides=self.edition.frozen, file_name=WEIGHTS)


def opened(base: Path, shape: Mapping[str, Any], edition: Edition, keep_bf16: bool) -> Any:
    """The module with the weights of a directory, fp32 unless it may stay bf16."""
    from voicelathe.families.shared.weights import copy_weights, without_weights

    with without_weights():
        core = sketch.built(shape, edition)
    copy_weights(base, core.state_dict(keep_vars=True), edition.frozen, WEIGHTS, keep_bf16)
    return core
