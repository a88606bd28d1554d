"""What the base is trained to say: the demo's template grammar, pieces of its sentences, longer joins, and public-domain prose.

Nothing that is measured later is in the training text: the demo corpus itself, 40 sentences of the grammar and the last part of
the prose are kept apart. The prose is the two chapters of Alice's Adventures in Wonderland (Carroll, 1865) in Debian's flite package.
"""

import importlib.util
import json
import random
import re
from pathlib import Path
from types import ModuleType

DEMO = Path(__file__).parents[1] / "data/demo"
PROSE = Path("/usr/share/doc/flite/examples/alice")
HELD_OUT_SEED, NUM_HELD_OUT = 9_001, 40
PROSE_CHARS = (20, 90)
SHARES = {"sentence": 0.55, "piece": 0.2, "long": 0.08, "prose": 0.17}


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


def training(num_texts: int, seed: int, prose_file: Path = PROSE) -> list[str]:
    """`num_texts` texts in the SHARES, short pieces to long joins; the order is random."""
    rng = random.Random(f"{seed}/texts")
    apart = kept_apart()
    sentences = iter([one for one in grammar().write(3 * num_texts, seed) if one not in apart])
    clauses = prose(prose_file)[0]
    texts: list[str] = []
    for kind, share in SHARES.items():
        for _ in range(round(share * num_texts)):
            if kind == "sentence":
                texts.append(next(sentences))
            elif kind == "piece":
                texts.append(piece(next(sentences), rng))
            elif kind == "long":
                first, second = next(sentences), next(sentences)
                texts.append(f"{first[:-1]}, and {second[0].lower()}{second[1:]}")
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
