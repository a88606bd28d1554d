"""Text as IndexTTS 2.5 reads it: the language in front, a few signs for many, one case a language, then the byte pairs of its vocabulary.

Names and their order are those of the published vocabulary, in which rows of the language table and ids of special tokens are positions.
"""

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.errors import BaseModelError, FamilyUnavailable

if TYPE_CHECKING:
    import torch

VOCABULARY = "multilingual_zh_ja_yue_char_del.tiktoken"
# A row of the language table each; there is one more, which nothing uses.
LANGUAGES = (  # noqa: SIM905
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml cy sk te fa lv bn sr "
    "az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl "
    "mg as tt haw ln ha ba jw su yue minnan wuyu dialect zh/en en/zh common"
).split()
NUM_ROWS, OTHERS = len(LANGUAGES) + 1, "common"
TAGGED = 99  # languages that have a token of their own
EVENTS = [
    "ASR",
    "AED",
    "SER",
    "Speech",
    "/Speech",
    "BGM",
    "/BGM",
    "Laughter",
    "/Laughter",
    "Applause",
    "/Applause",
    "HAPPY",
    "SAD",
    "ANGRY",
    "NEUTRAL",
]
TASKS = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
SOUNDS = [
    f"TTS/{name}" for name in ("B", "O", "Q", "A", "CO", "CL", "H", *(f"SP{n:02d}" for n in range(1, 14)))
]
NAMES = [
    "endoftext", "startoftranscript", *LANGUAGES[:TAGGED], *EVENTS, *TASKS, *(f"SPECIAL_TOKEN_{n}" for n in range(1, 31)), *SOUNDS,
    *(f"{n * 0.02:.2f}" for n in range(1501)),
]  # fmt: skip
SPLIT = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""  # GPT-2's
SIGNS = {  # what is read as what
    ",": "：；;，、:", ".": "。", "!": "！", "?": "？", " ": "\n", "-": "·—～~", "'": "“”\"‘’（）()《》【】[]「」",
}  # fmt: skip
PLAIN = {sign: plain for plain, signs in SIGNS.items() for sign in signs} | {
    "...": "…",
    ",,,": "…",
    "……": "…",
}
ANY_SIGN = re.compile("|".join(re.escape(sign) for sign in sorted(PLAIN, key=len, reverse=True)))
NAMED = re.compile(r"<\|[^|]+\|>")
LOWER, UPPER = frozenset({"zh", "en"}), frozenset({"es"})
CUT_UP = frozenset({"ja"})  # upstream cuts it into words, with a dictionary that is not here


def language_of(tag: str) -> str:
    """Upstream's name of a language: the first part of a BCP 47 tag."""
    return tag.split("-")[0].lower()


def row_of(tag: str) -> int:
    """Its row of the language table; languages that the model does not know share one."""
    name = language_of(tag)
    return LANGUAGES.index(name if name in LANGUAGES else OTHERS)


def tokenizer(base: Path) -> Any:
    """The byte pairs of a base. Raises FamilyUnavailable without tiktoken, BaseModelError for a file that is no such vocabulary."""
    try:
        from tiktoken import Encoding
    except ImportError as problem:
        raise FamilyUnavailable(
            f"The family indextts25 needs the package tiktoken ({problem}). Install it: pip install 'voicelathe[indextts2]'"
        ) from None
    path = base / VOCABULARY
    try:
        pairs = [line.split() for line in path.read_bytes().splitlines() if line.strip()]
        ranks = {base64.b64decode(piece, validate=True): int(rank) for piece, rank in pairs}
    except ValueError as problem:
        raise BaseModelError(
            f"{path} is no tiktoken vocabulary ({problem}): a piece in base64 and its rank are wanted on each line"
        ) from None
    special = {f"<|{name}|>": len(ranks) + place for place, name in enumerate(NAMES)}
    return Encoding(path.name, pat_str=SPLIT, mergeable_ranks=ranks, special_tokens=special)


def read(text: str, tag: str) -> str:
    """What the tokenizer is given, but for the numbers, which upstream's normaliser writes out before it speaks."""
    name, plain = language_of(tag), ANY_SIGN.sub(lambda found: PLAIN[found.group()], text.strip())
    cased = plain.lower() if name in LOWER else plain.upper() if name in UPPER else plain
    return f"<|{name}|> {NAMED.sub(lambda found: found.group().upper(), cased)}"


def tokens(tokenizer: Any, text: str, tag: str, marks: tuple[int, int]) -> "torch.Tensor":
    """Ids [L], without those of start and stop, which upstream takes out of a text: they are "!" and the double quote."""
    import torch

    ids = [one for one in tokenizer.encode(read(text, tag), allowed_special="all") if one not in marks]
    return torch.tensor(ids, dtype=torch.long)
