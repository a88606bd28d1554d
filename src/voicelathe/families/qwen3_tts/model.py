"""A Qwen3-TTS as it is trained: batches, losses and the files of its checkpoints. With torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from voicelathe.config import schema
from voicelathe.families.base import ClipItem
from voicelathe.families.qwen3_tts import files, loading, losses, names, sketch, speakers
from voicelathe.families.qwen3_tts.losses import ROLE, TAIL, Pack
from voicelathe.families.shared import base_directory, peft_files
from voicelathe.families.shared.base_directory import CONFIG, WEIGHTS
from voicelathe.families.shared.opened import TrainedBase

PARTS = {  # for gradient norms
    "talker": ("talker.model.layers.", "talker.model.norm.", "talker.codec_head."),
    "embedding": ("talker.model.codec_embedding.", "talker.text_projection."),
    "code_predictor": ("talker.code_predictor.",),
}
STILL = ("talker.model.text_embedding.", files.SPEAKER_ENCODER)  # in full fine-tuning, too


@dataclass
class Qwen3TTSModel(loading.Qwen3TTSCore, TrainedBase):
    """See `voicelathe.families.base.Model` for the contract of every method."""

    parts, still = PARTS, STILL

    def text_lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(self._tokens(text)) - ROLE for text in texts]

    def example(self, text_tokens: Sequence[int], positions: Sequence[int]) -> tuple[Pack, None]:
        return sketch.example(self.core, text_tokens, positions), None

    def prepare(self, items: Sequence[ClipItem]) -> None:
        """Check codes, languages and names of the speakers; average the speaker vectors."""
        talker = self.core.config.talker_config
        speakers.require_codes(items, talker.num_code_groups, talker.code_predictor_config.vocab_size)
        speakers.require_names(items, talker, self.base)
        self.voices = speakers.averaged(items)

    def collate(self, items: Sequence[ClipItem]) -> Pack:
        """A speaker of whom no training clip is known is given by the clip's own vector."""
        talker = self.core.config.talker_config
        spoken = [names.language(talker, item.language) for item in items]
        return losses.pack(
            self.core.config,
            [self._tokens(item.text) for item in items],
            [item.tensors["codes"] for item in items],
            [self.voices.get(item.speaker_id.lower(), item.tensors["speaker"][0]) for item in items],
            [None if name is None else talker.codec_language_id[name] for name in spoken],
            self.device,
        )

    def draw(self, batch: Pack, keys: Sequence[int], frozen: tuple[int, int] | None) -> None:
        """Nothing in the losses is random."""

    def losses(self, batch: Pack, noise: None) -> dict[str, Tensor]:
        return losses.losses(self.core.talker, batch, self.recompute)

    def endings(self, batch: Pack) -> list[Tensor]:
        return losses.endings(self.core, batch)

    def save_adapter(self, tensors: dict[str, Tensor], lora: schema.Lora) -> dict[str, Any]:
        """peft's own pair of files, and the speaker vectors with the slots they would have in a custom voice."""
        return {
            **peft_files.pair(tensors, lora, self.adapter_targets(lora.scope), self.base.name),
            **speakers.files(self.voices, self.core.config.talker_config),
        }

    def full_files(self, dtype: torch.dtype) -> dict[str, Any]:
        """A custom-voice directory, together with the base's other files: each speaker is a row of the codec embedding.

        config.json is the base's own with four entries changed: the one that upstream's class writes cannot be loaded again.
        """
        weights = {
            name: p.detach().to("cpu", dtype, copy=True).contiguous()
            for name, p in loading.weights(self.core).items()
        }
        slots = names.slots(self.voices, self.core.config.talker_config)
        for name, slot in slots.items():
            weights["talker.model.codec_embedding.weight"][slot] = self.voices[name].to(dtype)
        config = base_directory.read_config(self.base / CONFIG, files.DOWNLOAD)
        config["tts_model_type"] = "custom_voice"
        config["talker_config"]["spk_id"] |= slots
        config["talker_config"]["spk_is_dialect"] |= dict.fromkeys(self.voices, False)
        return {WEIGHTS: weights, CONFIG: config}

    def _tokens(self, text: str) -> Tensor:
        """Role and text, without the tail of upstream's template."""
        ids = self.tts.processor.tokenizer(names.TEMPLATE.format(text.strip()))["input_ids"]
        return torch.tensor(ids[:-TAIL], dtype=torch.long)
