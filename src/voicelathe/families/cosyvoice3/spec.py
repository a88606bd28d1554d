"""CosyVoice 3 (FunAudioLLM), 0.5B: a Qwen2 that turns text into speech tokens; upstream's flow and vocoder turn those into sound.

Trained here, on transformers alone; speech is made by upstream's own code, which has no package and wants an interpreter of its own
(`voicelathe env create cosyvoice3`). The only importer of `cosyvoice`, together with the modules beside it. Importing this file does
not import torch. The language model knows no speaker vector; the flow is given the mean of the training clips' vectors.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe import digest
from voicelathe.config import schema
from voicelathe.families.base import ClipItem, Family, FamilySpec
from voicelathe.families.cosyvoice3 import files as cosyvoice3_files
from voicelathe.families.cosyvoice3 import loading, sketch, synthesis
from voicelathe.families.cosyvoice3 import text as cosyvoice3_text
from voicelathe.families.cosyvoice3.features import CosyVoice3Encoder, Ears
from voicelathe.families.cosyvoice3.files import CONFIG, PICKLE, WEIGHTS
from voicelathe.families.cosyvoice3.synthesis import CosyVoice3Voice
from voicelathe.families.optional import Sketch
from voicelathe.families.shared import conversion, peft_files
from voicelathe.families.shared.base_directory import PinnedDirectory
from voicelathe.records import BaseFacts, ReadText

if TYPE_CHECKING:
    import torch

    from voicelathe.families.cosyvoice3.model import CosyVoice3Model


class CosyVoice3Family(PinnedDirectory):
    """See `voicelathe.families.base.Family` for the contract of every method."""

    spec = FamilySpec(
        id="cosyvoice3",
        modes=frozenset({"lora", "full"}),
        loss_weights={
            "lm": 1.0,
            "lm_eos": 0.0,
        },  # the end is among the targets of `lm`; alone it is only reported
        licence="Apache-2.0",
        requires=("onnxruntime",),
        scopes=frozenset(loading.SCOPES),
        cached_with=frozenset(),
        zero_shot=("continuation",),
        stop_loss="lm_eos",
        stop_above=0.5,  # upstream draws from the distribution: where the end is more likely than all tokens together
        stop_after=2,  # upstream speaks at least two tokens for each of the text
        download="huggingface-cli download FunAudioLLM/Fun-CosyVoice3-0.5B-2512 --local-dir DIR",
        usage=cosyvoice3_files.USAGE,
        decoding=cosyvoice3_files.DECODING,
        layers=("llm.model.model.layers",),
        elsewhere=frozenset({"speak"}),
        pickled={PICKLE: WEIGHTS},
    )
    published = sketch.PUBLISHED

    def recognises(self, base: Path) -> bool:
        return (base / cosyvoice3_files.MARK).is_file()

    def complete(self, base: Path) -> list[str]:
        """llm.pt once more as safetensors."""
        is_new = (base / PICKLE).is_file() and conversion.convert(base / PICKLE, base / WEIGHTS)
        return [WEIGHTS] if is_new else []

    def facts(self, base: Path, licence: str, trained: bool, files: dict[str, str]) -> BaseFacts:
        return cosyvoice3_files.facts(base, licence, trained, files, self.spec)

    def open_model(
        self, base: Path, facts: BaseFacts, machine: schema.Machine, keep_bf16: bool = False
    ) -> "CosyVoice3Model":
        import torch

        from voicelathe.families.cosyvoice3.model import CosyVoice3Model

        core, device = loading.opened(base, keep_bf16), torch.device(machine.device)
        return CosyVoice3Model(core.to(device), facts, base, device, cosyvoice3_text.tokenizer(base))

    def open_voice(self, base: Path, facts: BaseFacts, machine: schema.Machine) -> CosyVoice3Voice:
        """Upstream's own load, which can be had in its interpreter only."""
        import torch

        device = torch.device(machine.device)
        upstream = synthesis.open_upstream(base, device)
        return CosyVoice3Voice(upstream.model.llm, facts, base, device, upstream)

    def open_encoder(self, base: Path, facts: BaseFacts, machine: schema.Machine) -> CosyVoice3Encoder:
        import torch

        return CosyVoice3Encoder(Ears(base, machine.threads), facts, torch.device(machine.device))

    def config(self, base: Path) -> Mapping[str, Any] | None:
        return digest.read_json(base / CONFIG) if (base / CONFIG).is_file() else None

    def sketch(self, config: Mapping[str, Any], base: Path | None) -> Sketch:
        """Upstream's trainer, too, works on stored tokens."""
        import torch

        from voicelathe.families.cosyvoice3.model import CosyVoice3Model

        tokenizer = None if base is None else cosyvoice3_text.tokenizer(base)
        core, device = sketch.built(config, base), torch.device("cpu")
        model = CosyVoice3Model(core, None, base or Path(), device, tokenizer)  # type: ignore[arg-type]
        return Sketch(model, codec=0, caches=0)

    def positions_per_s(self, config: Mapping[str, Any]) -> float:
        return cosyvoice3_files.TOKENS_PER_S

    def prompted(self, item: ClipItem, reference: ClipItem, way: schema.Way) -> ClipItem:
        """Upstream's zero-shot: the reference's words before the text, its tokens before the speech."""
        heard = {"heard": reference.tensors["tokens"]}
        both = ReadText(f"{reference.text}{cosyvoice3_text.BREAK}{item.text}")
        return replace(item, text=both, tensors={**item.tensors, **heard})

    def load_adapter(self, directory: Path) -> "dict[str, torch.Tensor]":
        return {f"{loading.ADAPTED}{name}": tensor for name, tensor in peft_files.read(directory).items()}


FAMILY: Family = CosyVoice3Family()
