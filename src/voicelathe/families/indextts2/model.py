"""An IndexTTS2 as it is trained: batches, losses and the files of its checkpoints. With torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from voicelathe.config import schema
from voicelathe.errors import ManifestError, RecordError, listing
from voicelathe.families.base import ClipItem
from voicelathe.families.indextts2 import loading, losses, sketch, speakers
from voicelathe.families.indextts2 import text as indextts2_text
from voicelathe.families.indextts2.files import PICKLE, WEIGHTS
from voicelathe.families.indextts2.losses import ClipTokens, Ids, Pack
from voicelathe.families.shared import peft_files
from voicelathe.families.shared.opened import TrainedBase

if TYPE_CHECKING:
    import numpy as np

PARTS = {  # for gradient norms
    "layers": ("gpt.", "final_norm."),
    "text": ("text_embedding.", "text_pos_embedding.", "text_head.", "lang_embedding."),
    "speech": ("mel_embedding.", "mel_pos_embedding.", "mel_head."),
    "voice": ("spk_emb_proj.",),
}
STILL = "speed_emb."  # upstream's users set it; no clip says which speed it has


@dataclass
class IndexTTS2Model(loading.IndexTTS2Core, TrainedBase):
    """See `voicelathe.families.base.Model` for the contract of every method."""

    parts, still = PARTS, (STILL,)

    tokenizer: Any
    partners: dict[str, ClipItem] = field(
        default_factory=dict, kw_only=True
    )  # clip -> the clip it is heard after in training
    chosen: dict[str, str] = field(
        default_factory=dict, kw_only=True
    )  # speaker -> clip of their reference; main one first

    def text_lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(indextts2_text.tokens(self.tokenizer, text)) for text in texts]

    def example(self, text_tokens: Sequence[int], positions: Sequence[int]) -> tuple[Pack, None]:
        return sketch.example(
            self.shape["model_dim"], text_tokens, positions, self._ids(), self.edition
        ), None

    def prepare(self, items: Sequence[ClipItem]) -> None:
        """Check codes and lengths; choose who is heard after whom, and the reference of each speaker.

        A speaker with a single clip is heard after that clip itself: nothing else is known of them.
        """
        most = self.shape["start_mel_token"]
        if broken := [item.clip_id for item in items if not _fits(item.tensors["codes"], most)]:
            raise RecordError(
                f"The codes of {len(broken)} clips are not numbers from 0 to {most - 1}, first {broken[0]}: they are of another base. "
                "Run: dvc repro -f -s encode"
            )
        texts, limit = [len(self._tokens(item)) for item in items], self.shape["max_text_tokens"]
        wrong = [
            f"clip {item.clip_id}: {count} text tokens"
            for item, count in zip(items, texts, strict=True)
            if not 0 < count <= limit
        ]
        if wrong:
            raise ManifestError(
                f"These clips have no text, or more than {limit} tokens of it:\n{listing(wrong)}\nCorrect the manifest and import it again."
            )
        self.partners, self.chosen = speakers.choose(items, self.edition.codes_per_s)
        known = {item.clip_id: item for item in items}
        self.voices = {
            speaker: {name: known[clip_id].tensors[name] for name in (self.edition.voice, "emotion")}
            for speaker, clip_id in self.chosen.items()
        }

    def references(self) -> Mapping[str, str]:
        return self.chosen

    def keep(self, speaker: str, samples: "np.ndarray[Any, Any]") -> None:
        whole = torch.from_numpy(samples).clamp(-1, 1).mul(2**15 - 1).round()
        self.voices[speaker]["audio"] = whole.to(torch.int16)

    def collate(self, items: Sequence[ClipItem]) -> Pack:
        """A speaker of whom no reference is known is heard after the clip itself."""

        def heard(item: ClipItem) -> Mapping[str, Tensor]:
            if self.core.training and item.clip_id in self.partners:
                return self.partners[item.clip_id].tensors
            return self.voices.get(item.speaker_id, item.tensors)

        clips = [self._clip(item, heard(item)) for item in items]
        return losses.pack(clips, self._ids(), self.device)

    def _tokens(self, item: ClipItem) -> Tensor:
        return indextts2_text.tokens(self.tokenizer, item.text)

    def _clip(self, item: ClipItem, voice: Mapping[str, Tensor]) -> ClipTokens:
        emotion_C = voice["emotion"].flatten()
        return ClipTokens(
            self._tokens(item), item.tensors["codes"], emotion_C, voice["condition"].view(-1, len(emotion_C))
        )

    def draw(self, batch: Pack, keys: Sequence[int], frozen: tuple[int, int] | None) -> None:
        """Nothing in the losses is random."""

    def losses(self, batch: Pack, noise: None) -> dict[str, Tensor]:
        """There is no decoder among what is trained: only `all` is recomputed."""
        return losses.losses(self.core, batch, self.recompute == "all")

    def endings(self, batch: Pack) -> list[Tensor]:
        return losses.endings(self.core, batch, self._ids())

    def save_adapter(self, tensors: dict[str, Tensor], lora: schema.Lora) -> dict[str, Any]:
        """peft's own pair of files for upstream's `tts.gpt`, and the references."""
        pair = peft_files.pair(
            tensors, lora, self.adapter_targets(lora.scope), self.base.name, fan_in_fan_out=True
        )
        return {**pair, **speakers.files(self.voices)}

    def full_files(self, dtype: torch.dtype) -> dict[str, Any]:
        """Everything gpt.pth holds, the encoders as they are in the base. Its gpt.pth would be stale beside it."""
        from safetensors import safe_open

        weights = {
            name: p.detach().to("cpu", dtype, copy=True).contiguous()
            for name, p in self.core.state_dict(keep_vars=True).items()
        }
        with safe_open(self.base / WEIGHTS, framework="pt") as file:
            untouched = [name for name in file.keys() if name.startswith(self.edition.frozen)]  # noqa: SIM118
            weights |= {name: file.get_tensor(name) for name in untouched}
        return {WEIGHTS: weights, PICKLE: None, **speakers.files(self.voices)}

    def _ids(self) -> Ids:
        names = ("start_text", "stop_text", "start_mel", "stop_mel")
        return Ids(*(self.shape[f"{name}_token"] for name in names))


def _fits(codes_A: Tensor, most: int) -> bool:
    return codes_A.ndim == 1 and len(codes_A) > 0 and int(codes_A.min()) >= 0 and int(codes_A.max()) < most
