"""What upstream's own classes make of the tests' small IndexTTS 2.5, written to official_indextts25.json.

    PYTHONPATH=CHECKOUT:.:src PYTHON tests/families/indextts2/official_indextts25.py

As official_indextts2.py, with `spk_cond_mode="campplus"`, as upstream's infer_v2_5 has it. `texts` are the ids of upstream's own tokenizer
for texts that its own table of signs has cleaned, in the case it gives them, without those of start and stop; `drawn` is the sha256 of those
of many random ones.
"""

import hashlib
import json
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from tests.factories import indextts25_base as factory
from tests.families.indextts2 import official_indextts2 as older

CLIPS = [(9, 30, "en"), (14, 41, "zh"), (5, 12, "common")]  # text tokens, codes, language
TEXTS = [
    ("The lamp is on; nobody speaks!", "en"), ("“Where?” (There…) — 12:30...", "en"), ("你好，世界。", "zh"), ("¿Dónde está la niña?", "es"),
    ("Straße, Übermut: ja!", "de"), ('She said "no"!', "pt"), ("<|en|> <|SPECIAL_TOKEN_1|>G OW1<|SPECIAL_TOKEN_1|>", "en"), ("Bore da", "cy"),
    ("oyoyo", "xx"),
]  # fmt: skip
HERE = Path(__file__).with_suffix(".json")
NUM_DRAWN = 5_000
PIECES = [
    *"abc XYZ.,;:!?\"'()[]…·—～~《》【】「」，。！？、；：“”‘’\n-",
    "...",
    ",,,",
    "，，，",
    "……",
    "你好",
    "ñ",
    "<|en|>",
    "<|SPECIAL_TOKEN_2|>",
]
DRAWN_IN = ["en", "zh", "es", "de", "yue", "xx", "pt"]
Ids = Callable[[str, str], list[int]]


def clips() -> list[dict[str, Any]]:
    """The same numbers wherever they are drawn."""
    found = []
    for number, (words, codes, language) in enumerate(CLIPS):
        generator = torch.Generator().manual_seed(100 + number)
        text = torch.randint(2, 260, (words,), generator=generator)
        found.append({"text": text, "language": language, **factory.features(codes / 25, number)})
    return found


def drawn(ids: Ids) -> str:
    """Of the ids of texts that are drawn from PIECES; `ids`: text and language -> its ids."""
    generator, found = random.Random(0), hashlib.sha256()
    for _ in range(NUM_DRAWN):
        text = "".join(generator.choice(PIECES) for _ in range(generator.randint(1, 25))).strip()
        found.update(json.dumps(ids(text, generator.choice(DRAWN_IN))).encode())
    return found.hexdigest()


def main() -> None:
    from voicelathe.families.shared import torchaudio_shim

    torchaudio_shim.ensure()
    import transformers
    from indextts.gpt.model_v2 import UnifiedVoice

    shape = {
        **factory.SHAPE,
        "condition_module": factory.older.ENCODER,
        "emo_condition_module": factory.older.ENCODER,
    }
    model, weights = UnifiedVoice(**shape, spk_cond_mode="campplus").eval(), factory.trained(shape)
    left = model.load_state_dict(weights, strict=False)
    assert not left.unexpected_keys, left.unexpected_keys
    model.post_init_gpt2_config(kv_cache=True)
    found: dict[str, Any] = {
        "checksum": older.checksum(weights),
        "not_trained": sorted({name.split(".")[0] for name in left.missing_keys}),
        "clips": [losses(model, clip) for clip in clips()],
        **_texts(),
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
    HERE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def _texts() -> dict[str, Any]:
    from indextts.utils.front import TextNormalizer
    from indextts.utils.tokenizer import get_tokenizer, lang_to_token

    normalizer = TextNormalizer()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, factory.VOCABULARY).write_bytes(factory.vocabulary())
        tokenizer = get_tokenizer(multilingual=True, model_dir=folder)

    def ids(text: str, language: str) -> list[int]:
        clean = normalizer.clean_pattern.sub(lambda sign: normalizer.char_rep_map[sign.group()], text)
        cased = {"en": clean.lower(), "zh": clean.lower(), "es": clean.upper()}.get(language, clean)
        named = re.sub(r"<\|([^|]+)\|>", lambda name: f"<|{name.group(1).upper()}|>", cased)
        found = tokenizer.encode(f"<|{language}|> {named}", allowed_special="all")
        return [one for one in found if one not in (0, 1)]

    texts = [[text, language, lang_to_token(language), ids(text, language)] for text, language in TEXTS]
    return {"texts": texts, "drawn": drawn(ids)}


def _prefix(model: Any, clip: dict[str, Any]) -> torch.Tensor:
    """What stands in front of the text."""
    voice = model.spk_emb_proj(clip["speaker"])[None] + clip["emotion"].float()[None]
    return torch.cat([voice, torch.zeros(1, 2, factory.WIDTH)], dim=1)


def _row(clip: dict[str, Any]) -> torch.Tensor:
    from indextts.utils.tokenizer import lang_to_token

    return torch.tensor([lang_to_token(clip["language"])])


def _logits(model: Any, clip: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Upstream's of text and codes, [1, V, T]."""
    text, codes = (clip[name].long()[None] for name in ("text", "codes"))
    fed = [
        F.pad(F.pad(one, (1, 0), value=start), (0, 1), value=stop)
        for one, start, stop in ((text, 0, 1), (codes, 8192, 8193))
    ]
    words = (
        model.text_embedding(fed[0])
        + model.text_pos_embedding(fed[0])
        + model.lang_embedding(_row(clip))[:, None]
    )
    sounds = model.mel_embedding(fed[1]) + model.mel_pos_embedding(fed[1])
    found: tuple[torch.Tensor, torch.Tensor] = model.get_logits(
        _prefix(model, clip), words, model.text_head, sounds, model.mel_head
    )
    return found


@torch.no_grad()
def _spoken(model: Any, clip: dict[str, Any]) -> torch.Tensor:
    """Logits of codes and end [M, V], one code after the other, through all that upstream lays in front of them itself."""
    text, codes = (clip[name].long()[None] for name in ("text", "codes"))
    given, rows, mask = model.prepare_gpt_inputs(_prefix(model, clip), text, _row(clip))
    model.inference_model.store_mel_emb(rows)
    found, past = [], None
    for code in (given, *codes.split(1, dim=1)):
        out = model.inference_model(
            input_ids=code, past_key_values=past, attention_mask=mask, use_cache=True, return_dict=True
        )
        past, mask = out.past_key_values, F.pad(mask, (0, 1), value=1)
        found.append(out.logits[0, -1])
    return torch.stack(found)


@torch.no_grad()
def losses(model: Any, clip: dict[str, Any]) -> dict[str, Any]:
    """Of text and codes, their ends alone, and of codes as they are generated."""
    result = {}
    for name, found, stop in zip(("text", "mel"), _logits(model, clip), (1, 8193), strict=True):
        target = F.pad(clip["text" if name == "text" else "codes"].long(), (0, 1), value=stop)
        each = F.cross_entropy(found[0, :, : len(target)].T, target, reduction="none")
        result |= {name: float(each.mean()), f"{name}_stop": float(each[-1])}
    target = F.pad(clip["codes"].long(), (0, 1), value=8193)
    return {**result, "mel_spoken": float(F.cross_entropy(_spoken(model, clip), target))}


if __name__ == "__main__":
    main()
