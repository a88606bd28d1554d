"""IndexTTS 2.5: the GPT of IndexTTS2 after one position for the voice instead of 32, told the language, with half as many codes a second."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.config import schema
from voicelathe.families.base import Family
from voicelathe.families.indextts2 import files as indextts2_files
from voicelathe.families.indextts2 import multilingual, sketch, synthesis25
from voicelathe.families.indextts2.editions import TWO_FIVE
from voicelathe.families.indextts2.spec import IndexTTS2Family, described
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    from voicelathe.families.indextts2.model import IndexTTS2Model


class IndexTTS25Family(IndexTTS2Family):
    """See `voicelathe.families.base.Family` for the contract of every method."""

    spec = described(
        "indextts25", TWO_FIVE, "tiktoken", indextts2_files.usage("infer_v2_5", ', "en"'), reads_language=True
    )
    edition = TWO_FIVE
    published: Mapping[str, Any] = sketch.PUBLISHED_25

    def recognises(self, base: Path) -> bool:
        settings = indextts2_files.read_settings(base)
        return indextts2_files.is_index(settings) and indextts2_files.edition(base, settings) is TWO_FIVE

    def open_voice(
        self, base: Path, facts: BaseFacts, machine: schema.Machine
    ) -> synthesis25.IndexTTS25Voice:
        """Upstream's own load, which can be had in its interpreter only."""
        import torch

        device, shape = torch.device(machine.device), indextts2_files.read_settings(base)["gpt"]
        upstream = synthesis25.open_upstream(base, device)
        return synthesis25.IndexTTS25Voice(upstream.gpt, facts, base, device, shape, upstream)

    def open_encoder(
        self, base: Path, facts: BaseFacts, machine: schema.Machine
    ) -> synthesis25.IndexTTS25Encoder:
        """As `open_voice`: upstream has no other."""
        import torch

        device = torch.device(machine.device)
        return synthesis25.IndexTTS25Encoder(synthesis25.open_upstream(base, device), facts, device)

    def _model(self) -> "type[IndexTTS2Model]":
        from voicelathe.families.indextts2.model25 import IndexTTS25Model

        return IndexTTS25Model

    def _tokenizer(self, base: Path) -> Any:
        return multilingual.tokenizer(base)


FAMILY: Family = IndexTTS25Family()
