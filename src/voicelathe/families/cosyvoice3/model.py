"""A CosyVoice 3 as it is trained: batches, losses and the files of its checkpoints. With torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from voicelathe.config import schema
from voicelathe.errors import ManifestError, RecordError, listing
from voicelathe.families.base import ClipItem
from voicelathe.families.cosyvoice3 import files, loading, losses, sketch
from voicelathe.families.cosyvoice3 import text as cosyvoice3_text
from voicelathe.families.cosyvoice3.files import PICKLE, WEIGHTS
from voicelathe.families.cosyvoice3.losses import ClipTokens, Pack
from voicelathe.families.shared import peft_files, speaker_means
from voicelathe.families.shared.opened import TrainedBase

PARTS = {  # for gradient norms
    "layers": ("llm.model.model.layers.", "llm.model.model.norm."),
    "text": ("llm.model.model.embed_tokens.",),
    "speech": ("speech_embedding.", "llm_decoder."),
}


@dataclass
class CosyVoice3Model(loading.CosyVoice3Core, TrainedBase):
    """See `voicelathe.families.base.Model` for the contract of every method."""

    parts = PARTS

    tokenizer: Any

    def text_lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(cosyvoice3_text.tokens(self.tokenizer, text)) for text in texts]

    def example(self, text_tokens: Sequence[int], positions: Sequence[int]) -> tuple[None, Pack]:
        return None, sketch.example(self.core, text_tokens, positions)

    def prepare(self, items: Sequence[ClipItem]) -> None:
        """Check the tokens; average the speakers' vectors."""
        most = self.core.speech_embedding.num_embeddings - files.SPECIALS
        if broken := [item.clip_id for item in items if not _fits(item.tensors["tokens"], most)]:
            raise RecordError(
                f"The tokens of {len(broken)} clips are not numbers from 0 to {most - 1}, first {broken[0]}: they are of another base. "
                "Run: dvc repro -f -s encode"
            )
        lengths = self.text_lengths([item.text for item in items])
        wordless = [f"clip {item.clip_id}" for item, some in zip(items, lengths, strict=True) if not some]
        if wordless:
            raise ManifestError(
                f"These clips have no words:\n{listing(wordless)}\nCorrect the manifest and import it again."
            )
        self.voices = speaker_means.averaged(items)

    def collate(self, items: Sequence[ClipItem]) -> list[ClipTokens]:
        instruction = cosyvoice3_text.tokens(self.tokenizer, cosyvoice3_text.INSTRUCTION)
        return [
            ClipTokens(
                instruction,
                cosyvoice3_text.words(self.tokenizer, item),
                item.tensors["tokens"].long(),
                heard.long() if (heard := item.tensors.get("heard")) is not None else None,
            )
            for item in items
        ]

    def draw(self, batch: Sequence[ClipTokens], keys: Sequence[int], frozen: tuple[int, int] | None) -> Pack:
        """The layout is what is random: in training half of the clips are interleaved, as upstream does; in validation none."""
        mixed = [
            frozen is None and torch.rand((), generator=torch.Generator().manual_seed(key)).item() < 0.5
            for key in keys
        ]
        return losses.pack(batch, mixed, losses.Ids.of(self.core), self.device)

    def losses(self, batch: Sequence[ClipTokens], noise: Pack) -> dict[str, Tensor]:
        """There is no decoder among what is trained: only `all` is recomputed."""
        return losses.losses(self.core, noise, self.recompute == "all")

    def endings(self, batch: Sequence[ClipTokens]) -> list[Tensor]:
        ids = losses.Ids.of(self.core)
        return losses.endings(self.core, losses.pack(batch, [False] * len(batch), ids, self.device), ids)

    def save_adapter(self, tensors: dict[str, Tensor], lora: schema.Lora) -> dict[str, Any]:
        """peft's own pair of files for the Qwen2 inside (`llm.llm.model`), and the speakers' vectors."""
        targets = self.adapter_targets(lora.scope).replace(loading.ADAPTED.replace(".", r"\."), "")
        names = {name.removeprefix(loading.ADAPTED): tensor for name, tensor in tensors.items()}
        return {
            **peft_files.pair(names, lora, targets, self.base.name),
            **speaker_means.files(self.voices),
        }

    def full_files(self, dtype: torch.dtype) -> dict[str, Any]:
        """The whole language model under upstream's names. The base's llm.pt would be stale beside it; `voicelathe export` writes one."""
        named = self.core.state_dict(keep_vars=True)
        weights = {name: p.detach().to("cpu", dtype, copy=True).contiguous() for name, p in named.items()}
        return {WEIGHTS: weights, PICKLE: None, **speaker_means.files(self.voices)}


def _fits(tokens_A: Tensor, most: int) -> bool:
    return (
        tokens_A.ndim == 1 and len(tokens_A) > 0 and int(tokens_A.min()) >= 0 and int(tokens_A.max()) < most
    )
