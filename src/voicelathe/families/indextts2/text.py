"""Text as IndexTTS2 reads it: upper case, a space around every East Asian character, then the pieces of bpe.model."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.errors import FamilyUnavailable
from voicelathe.families.indextts2.editions import TWO

if TYPE_CHECKING:
    import torch

EAST_ASIAN = (  # first and last code point: Hangul jamo, CJK and Yi, Phags-pa to Hangul syllables, compatibility forms, planes 2
    (0x1100, 0x11FF), (0x2E80, 0xA4CF), (0xA840, 0xD7AF), (0xF900, 0xFAFF), (0xFE30, 0xFE4F), (0xFF65, 0xFFDC), (0x20000, 0x2FFFF),
)  # fmt: skip
ALONE = re.compile("([" + "".join(f"{chr(first)}-{chr(last)}" for first, last in EAST_ASIAN) + "])")


def tokenizer(base: Path) -> Any:
    """The pieces. Raises FamilyUnavailable without sentencepiece."""
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as problem:
        raise FamilyUnavailable(
            f"The family indextts2 needs the package sentencepiece ({problem}). Install it: pip install 'voicelathe[indextts2]'"
        ) from None
    return SentencePieceProcessor(model_file=str(base / TWO.tokenizer))


def spaced(text: str) -> str:
    """Upper case, with every East Asian character a word of its own."""
    return " ".join(part.strip().upper() for part in ALONE.split(text.strip()) if part.strip())


def tokens(tokenizer: Any, text: str) -> "torch.Tensor":
    """Ids [L]."""
    import torch

    return torch.tensor(tokenizer.encode(spaced(text)), dtype=torch.long)
