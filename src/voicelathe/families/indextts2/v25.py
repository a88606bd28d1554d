"""IndexTTS 2.5: the GPT of IndexTTS2 after one position for the voice instead of 32, told the language, with half as many codes a second."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.families.base import Family
from voicelathe.families.indextts2 import files as indextts2_files
from voicelathe.families.indextts2 import multilingual, sketch, synthesis25
from voicelathe.families.indextts2.editions import TWO_FIVE
from voicelathe.families.indextts2.spec import IndexTTS2Family, described

if TYPE_CHECKING:
    import torch

    from voicelathe.families.indextts2.model import IndexTTS2Model


class IndexTTS25Family(IndexTTS2Family):
    """See `voicelathe.families.base.Family` for the contract of every method."""

    spec = described(
        "indextts25", TWO_FIVE, "tiktoken", indextts2_files.usage("infer_v2_5", ', "en"'), reads_language=True
    )
    edition, voice, encoder = TWO_FIVE, synthesis25.IndexTTS25Voice, synthesis25.IndexTTS25Encoder
    published: Mapping[str, Any] = sketch.PUBLISHED_25

    def recognises(self, base: Path) -> bool:
        settings = indextts2_files.read_settings(base)
        return indextts2_files.is_index(settings) and indextts2_files.edition(base, settings) is TWO_FIVE

    def _model(self) -> "type[IndexTTS2Model]":
        from voicelathe.families.indextts2.model25 import IndexTTS25Model

        return IndexTTS25Model

    def _upstream(self, base: Path, device: "torch.device") -> Any:
        return synthesis25.open_upstream(base, device)

    def _tokenizer(self, base: Path) -> Any:
        return multilingual.tokenizer(base)


FAMILY: Family = IndexTTS25Family()
