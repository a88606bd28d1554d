"""What upstream's own UnifiedVoice computes on the tests' small weights, written to official_indextts2.json.

    PYTHONPATH=CHECKOUT:.:src PYTHON tests/families/official_indextts2.py

CHECKOUT is index-tts/index-tts at the commit in envs/indextts2; PYTHON has transformers 4.52.1. Logits come from upstream's
`get_logits`; the losses are their masked means over the tokens and one stop, of each clip alone.
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
    from voicelathe.families import torchaudio_shim

    torchaudio_shim.ensure()
    import transformers
    from indextts.gpt.model_v2 import UnifiedVoice

    shape = {**factory.SHAPE, "condition_module": factory.ENCODER, "emo_condition_module": factory.ENCODER}
    model, weights = UnifiedVoice(**shape).eval(), factory.trained(shape)
    left = model.load_state_dict(weights, strict=False)
    assert not left.unexpected_keys, left.unexpected_keys
    found: dict[str, Any] = {
        "checksum": checksum(weights),
        "not_trained": sorted({name.split(".")[0] for name in left.missing_keys}),
        "clips": [_losses(model, clip) for clip in clips()],
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
    HERE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


@torch.no_grad()
def _losses(model: Any, clip: dict[str, torch.Tensor]) -> dict[str, Any]:
    width = factory.WIDTH
    voice = clip["condition"].float().view(1, -1, width) + clip["emotion"].float().view(1, 1, width)
    speeds = model.speed_emb(torch.tensor([[1, 0]]))
    text, codes = (clip[name].long()[None] for name in ("text", "codes"))
    fed = [
        F.pad(F.pad(one, (1, 0), value=start), (0, 1), value=stop)
        for one, start, stop in ((text, 0, 1), (codes, 8192, 8193))
    ]
    rows = [
        model.text_embedding(fed[0]) + model.text_pos_embedding(fed[0]),
        model.mel_embedding(fed[1]) + model.mel_pos_embedding(fed[1]),
    ]
    heads = (model.text_head, model.mel_head)
    logits = model.get_logits(torch.cat([voice, speeds], dim=1), rows[0], heads[0], rows[1], heads[1])
    result = {}
    for name, ids, found, stop in zip(("text", "mel"), (text, codes), logits, (1, 8193), strict=True):
        target = F.pad(ids, (0, 1), value=stop)[0]
        losses = F.cross_entropy(found[0, :, : len(target)].T, target, reduction="none")
        result |= {name: float(losses.mean()), f"{name}_stop": float(losses[-1])}
    return result


if __name__ == "__main__":
    main()
