"""Text as CosyVoice 3 reads it: its tokenizer with upstream's special tokens, and the instruction in front of every clip."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.families.base import ClipItem
from voicelathe.families.cosyvoice3.files import TEXT_MODEL

if TYPE_CHECKING:
    import torch

INSTRUCTION = (
    "You are a helpful assistant.<|endofprompt|>"  # of upstream's recipe, and asserted by its inference
)
SPECIAL_TOKENS = Path(__file__).with_name("tokens.txt")  # names and order: upstream's tokenizer at ace7c47
BREAK = "\n"  # between the words of a reference and those that follow: upstream makes tokens of each alone


def tokenizer(base: Path) -> Any:
    """Upstream adds its special tokens to the text model's own; their order gives them their ids."""
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(str(base / TEXT_MODEL))
    special = SPECIAL_TOKENS.read_text(encoding="utf-8").splitlines()
    names = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    found.add_special_tokens({**names, "additional_special_tokens": special})
    return found


def tokens(tokenizer: Any, text: str) -> "torch.Tensor":
    """Ids [L]."""
    import torch

    return torch.tensor(tokenizer(text.strip())["input_ids"], dtype=torch.long)


def words(tokenizer: Any, item: ClipItem) -> "torch.Tensor":
    """Ids of a clip's text, those of a reference in front."""
    import torch

    if "heard" not in item.tensors:
        return tokens(tokenizer, item.text)
    return torch.cat([tokens(tokenizer, part) for part in item.text.split(BREAK, 1)])
