"""What upstream's own UnifiedVoice computes on the tests' small weights, written to official_indextts2.json.

    PYTHONPATH=CHECKOUT:.:src PYTHON tests/families/indextts2/official_indextts2.py

CHECKOUT is index-tts/index-tts at the commit in envs/indextts2; PYTHON has transformers 4.52.1. Logits come from upstream's
`get_logits`; the losses are their masked means over the tokens and one stop, of each clip alone. `mel_spoken` is the loss of the codes
when they are fed one by one through upstream's cache, as it generates; `parity` the largest difference of those logits from
`get_logits`, with codes where generation puts them and one place earlier.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from tests.factories import indextts2_base as factory

CLIPS = [(9, 30), (14, 41), (5, 12)]  # text tokens, codes
HERE = Path(__file__).with_suffix(".json")


def clips() -> list[dict[str, torch.Tensor]]:
    """The same numbers wherever they are drawn."""
    found = []
    for number, (words, codes) in enumerate(CLIPS):
        generator = torch.Generator().manual_seed(100 + number)
        text = torch.randint(2, 58, (words,), generator=generator)
        found.append({"text": text, **factory.features(codes / 50, number)})
    return found


def checksum(weights: dict[str, Any]) -> float:
    """So that other weights are not taken for the same."""
    return float(sum(tensor.double().abs().sum() for _, tensor in sorted(weights.items())))


def main() -> None:
    from voicelathe.families.shared import torchaudio_shim

    torchaudio_shim.ensure()
    import transformers
    from indextts.gpt.model_v2 import UnifiedVoice

    shape = {**factory.SHAPE, "condition_module": factory.ENCODER, "emo_condition_module": factory.ENCODER}
    model, weights = UnifiedVoice(**shape).eval(), factory.trained(shape)
    left = model.load_state_dict(weights, strict=False)
    assert not left.unexpected_keys, left.unexpected_keys
    model.post_init_gpt2_config(kv_cache=True)
    first = clips()[0]
    found: dict[str, Any] = {
        "checksum": checksum(weights),
        "not_trained": sorted({name.split(".")[0] for name in left.missing_keys}),
        "clips": [losses(model, clip) for clip in clips()],
        "parity": {
            name: _apart(model, first, moved) for name, moved in (("as generated", 0), ("one earlier", -1))
        },
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
    HERE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def _prefix(model: Any, clip: dict[str, torch.Tensor]) -> torch.Tensor:
    """What stands in front of the text."""
    width = factory.WIDTH
    voice = clip["condition"].float().view(1, -1, width) + clip["emotion"].float().view(1, 1, width)
    return torch.cat([voice, model.speed_emb(torch.tensor([[1, 0]]))], dim=1)


def _logits(model: Any, clip: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Upstream's of text and codes, [1, V, T]."""
    text, codes = (clip[name].long()[None] for name in ("text", "codes"))
    fed = [
        F.pad(F.pad(one, (1, 0), value=start), (0, 1), value=stop)
        for one, start, stop in ((text, 0, 1), (codes, 8192, 8193))
    ]
    rows = [
        model.text_embedding(fed[0]) + model.text_pos_embedding(fed[0]),
        model.mel_embedding(fed[1]) + model.mel_pos_embedding(fed[1]),
    ]
    found: tuple[torch.Tensor, torch.Tensor] = model.get_logits(
        _prefix(model, clip), rows[0], model.text_head, rows[1], model.mel_head
    )
    return found


@torch.no_grad()
def _spoken(model: Any, clip: dict[str, torch.Tensor], moved: int = 0) -> torch.Tensor:
    """Logits of codes and end [M, V], one code after the other; `moved` moves the place of every code but the first."""
    text, codes = (clip[name].long()[None] for name in ("text", "codes"))
    given, rows, mask = model.prepare_gpt_inputs(_prefix(model, clip), text)
    speaker, table = model.inference_model, model.mel_pos_embedding
    place = table.get_fixed_embedding
    table.get_fixed_embedding = lambda index, device: place(index + moved, device)
    speaker.store_mel_emb(rows)
    found, past = [], None
    for code in (given, *codes.split(1, dim=1)):
        out = speaker(
            input_ids=code, past_key_values=past, attention_mask=mask, use_cache=True, return_dict=True
        )
        past, mask = out.past_key_values, F.pad(mask, (0, 1), value=1)
        found.append(out.logits[0, -1])
    del table.get_fixed_embedding
    return torch.stack(found)


@torch.no_grad()
def _apart(model: Any, clip: dict[str, torch.Tensor], moved: int) -> float:
    spoken = _spoken(model, clip, moved)
    return float((spoken - _logits(model, clip)[1][0].T[: len(spoken)]).abs().max())


@torch.no_grad()
def losses(model: Any, clip: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Of text and codes, their ends alone, and of codes as they are generated."""
    result = {}
    for name, ids, found, stop in zip(
        ("text", "mel"),
        (clip["text"].long()[None], clip["codes"].long()[None]),
        _logits(model, clip),
        (1, 8193),
        strict=True,
    ):
        target = F.pad(ids, (0, 1), value=stop)[0]
        losses = F.cross_entropy(found[0, :, : len(target)].T, target, reduction="none")
        result |= {name: float(losses.mean()), f"{name}_stop": float(losses[-1])}
    target = F.pad(clip["codes"].long(), (0, 1), value=8193)
    return {**result, "mel_spoken": float(F.cross_entropy(_spoken(model, clip), target))}


if __name__ == "__main__":
    main()
