"""An IndexTTS 2.5 as it is trained: as IndexTTS2, but for its text, its language and what it knows of a voice. With torch."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from voicelathe.errors import ManifestError, listing
from voicelathe.families.base import ClipItem
from voicelathe.families.indextts2 import multilingual
from voicelathe.families.indextts2.editions import TWO_FIVE
from voicelathe.families.indextts2.losses import ClipTokens
from voicelathe.families.indextts2.model import IndexTTS2Model

USUAL = "en"  # for lengths of texts of no language: it has one token of its own in front, as most have


class IndexTTS25Model(IndexTTS2Model):
    """See `voicelathe.families.base.Model` for the contract of every method."""

    edition = TWO_FIVE

    def text_lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(multilingual.tokens(self.tokenizer, text, USUAL, self._marks())) for text in texts]

    def prepare(self, items: Sequence[ClipItem]) -> None:
        """As IndexTTS2, and nothing in a language that upstream cuts into words with a dictionary before it speaks."""
        cut_up = [
            item.clip_id for item in items if multilingual.language_of(item.language) in multilingual.CUT_UP
        ]
        if cut_up:
            raise ManifestError(
                f"{len(cut_up)} clips are in Japanese, which upstream cuts into words with MeCab before it speaks. That is not done here, so a "
                f"voice would be trained on texts that it is never given:\n{listing(cut_up)}\nTake another family, or leave them out."
            )
        super().prepare(items)

    def _tokens(self, item: ClipItem) -> Tensor:
        return multilingual.tokens(self.tokenizer, item.text, item.language, self._marks())

    def _clip(self, item: ClipItem, voice: Mapping[str, Tensor]) -> ClipTokens:
        return ClipTokens(
            self._tokens(item), item.tensors["codes"], voice["emotion"].flatten(), speaker_S=voice["speaker"].flatten(),
            language=multilingual.row_of(item.language),
        )  # fmt: skip

    def _marks(self) -> tuple[int, int]:
        ids = self._ids()
        return ids.text_start, ids.text_stop
