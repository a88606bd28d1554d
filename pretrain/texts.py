"""What the base is trained to say: the demo's template grammar, pieces of its sentences, longer joins, public-domain prose, and common words.

Nothing that is measured later is in the training text: the demo corpus itself, 40 sentences of the grammar and the last part of
the prose are kept apart. The prose is the two chapters of Alice's Adventures in Wonderland (Carroll, 1865) in Debian's flite package; the
common words are levels 10 and 20 of SCOWL, in Debian's package scowl.
"""

import importlib.util
import json
import random
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from pretrain import tokens

DEMO = Path(__file__).parents[1] / "data/demo"
PROSE = Path("/usr/share/doc/flite/examples/alice")
HELD_OUT_SEED, NUM_HELD_OUT = 9_001, 40
PROSE_CHARS = (20, 90)
SHARES = {"sentence": 0.55, "piece": 0.2, "long": 0.08, "prose": 0.17}
# Of the volumes of many voices. The grammar has a thousand words; a base that knows no others forgets how to say them when it is fine-tuned.
WIDE_SHARES = {"sentence": 0.28, "piece": 0.1, "long": 0.04, "prose": 0.13, "words": 0.45}
COMMON = Path("/usr/share/dict/scowl")
COMMON_LEVELS = ("english-words.10", "american-words.10", "english-words.20", "american-words.20")
SMALL_WORDS = [
    "the", "a", "an", "of", "to", "and", "in", "was", "is", "it", "for", "with", "on", "at", "that", "she", "he", "we",
    "you", "they", "his", "her", "our", "my", "not", "but", "or", "by", "from", "as", "be", "have", "had", "this", "will", "can",
]  # fmt: skip
WORDS_A_TEXT, SMALL_SHARE, COMMA_SHARE = (1, 7), 0.45, 0.12


def grammar() -> ModuleType:
    """The demo's own sentence writer; data/demo is a folder of scripts, not a package."""
    spec = importlib.util.spec_from_file_location("demo_sentences", DEMO / "sentences.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def held_out_sentences() -> list[str]:
    return list(grammar().write(NUM_HELD_OUT, HELD_OUT_SEED))


def kept_apart() -> set[str]:
    """What the demo says, and what `measure` lets the base say."""
    spoken_in_demo = {
        (json.loads(line)["text"] or "").strip()
        for line in (DEMO / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    }
    return spoken_in_demo | set(held_out_sentences())


def prose(path: Path = PROSE) -> tuple[list[str], list[str]]:
    """Clauses for training and, from the last fifth of the text, NUM_HELD_OUT clauses to measure with."""
    if not path.is_file():
        raise SystemExit(f"{path} is missing. It comes with the Debian package flite: apt-get install flite")
    text = re.sub(r"[^A-Za-z',.?! ]+", " ", path.read_text(encoding="utf-8").replace("--", ", "))
    clauses = [re.sub(r"\s+", " ", part).strip(" ,'") for part in re.split(r"(?<=[,.?!])\s", text)]
    usable = [one for one in clauses if PROSE_CHARS[0] <= len(one) <= PROSE_CHARS[1]]
    cut = len(usable) * 4 // 5
    return usable[:cut], usable[cut : cut + NUM_HELD_OUT]


def common_words(folder: Path = COMMON) -> list[str]:
    """The words of English that are used most, about 11,000, those that the CMU dictionary can say."""
    if not folder.is_dir():
        raise SystemExit(
            f"{folder} is missing. It comes with the Debian package scowl: apt-get install scowl"
        )
    lists = [(folder / level).read_text(encoding="latin-1").split() for level in COMMON_LEVELS]
    return sorted(tokens.dictionary({word.lower() for words in lists for word in words if len(word) > 1}))


def training(
    num_texts: int, seed: int, prose_file: Path = PROSE, shares: Mapping[str, float] = SHARES
) -> list[str]:
    """`num_texts` texts in the shares, short pieces to long joins; the order is random."""
    rng = random.Random(f"{seed}/texts")
    apart = kept_apart()
    sentences = iter([one for one in grammar().write(3 * num_texts, seed) if one not in apart])
    clauses = prose(prose_file)[0]
    texts: list[str] = []
    common = common_words() if "words" in shares else []
    for kind, share in shares.items():
        for _ in range(round(share * num_texts)):
            if kind == "sentence":
                texts.append(next(sentences))
            elif kind == "piece":
                texts.append(piece(next(sentences), rng))
            elif kind == "long":
                first, second = next(sentences), next(sentences)
                texts.append(f"{first[:-1]}, and {second[0].lower()}{second[1:]}")
            elif kind == "words":
                texts.append(chain(common, rng))
            else:
                texts.append(rng.choice(clauses))
    rng.shuffle(texts)
    return texts


def piece(sentence: str, rng: random.Random) -> str:
    """One to five neighbouring words, as a sentence of their own."""
    words = re.sub(r"[,.?!]", "", sentence).split()
    length = rng.randint(1, 5)
    start = rng.randint(0, max(0, len(words) - length))
    chosen = " ".join(words[start : start + length])
    return f"{chosen[0].upper()}{chosen[1:]}."


def chain(common: list[str], rng: random.Random) -> str:
    """One to seven common words that mean nothing together, some behind a small one: every sound behind every other."""
    said: list[str] = []
    for _ in range(rng.randint(*WORDS_A_TEXT)):
        if rng.random() < SMALL_SHARE:
            said.append(rng.choice(SMALL_WORDS))
        said.append(rng.choice(common) + ("," if rng.random() < COMMA_SHARE else ""))
    text = " ".join(said).rstrip(",")
    return f"{text[0].upper()}{text[1:]}{rng.choice('.....?!')}"
