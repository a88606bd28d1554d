"""Write a base directory in the official on-disk format: config, phoneme tokenizer, weights in bf16.

Usage:  python -m pretrain.assemble OUT [STATE]      from the trained parts in STATE

The same seed and the same state give the same bytes.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pretrain import design, texts, tokens
from pretrain.corpus import SEED, STATE

LISTENED = [
    "Today I walked through the quiet morning light, and every small detail felt clear, steady, and close.",
    "The lamp is on.",
]


def write(
    out: Path, seed: int, model: dict[str, Any] | None = None, codec: dict[str, Any] | None = None
) -> None:
    """A whole directory; what is not given is random."""
    from voicelathe.families.shared import torchaudio_shim

    torchaudio_shim.ensure()
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaTokenizerFast
    from voxcpm.model.voxcpm2 import VoxCPM2Model, VoxCPMConfig
    from voxcpm.modules.audiovae import AudioVAEV2

    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(design.config(), indent=1, sort_keys=True) + "\n"
    (out / "config.json").write_text(text, encoding="utf-8")
    tokens.write(out, [*tokens.words_of(known_texts()), *texts.common_words()])
    torch.manual_seed(seed)
    parsed = VoxCPMConfig.model_validate(design.config())
    vae = AudioVAEV2(config=parsed.audio_vae_config)
    built = VoxCPM2Model(parsed, LlamaTokenizerFast.from_pretrained(str(out)), vae, device="cpu")
    weights = model or {n: t for n, t in built.state_dict().items() if not n.startswith("audio_vae.")}
    for name, tensors in {"model": weights, "audiovae": codec or vae.state_dict()}.items():
        halved = {n: t.to(torch.bfloat16) if t.is_floating_point() else t for n, t in tensors.items()}
        save_file(
            {n: t.contiguous() for n, t in halved.items()}, out / f"{name}.safetensors", {"format": "pt"}
        )


def known_texts() -> list[str]:
    """Every text whose words the tokenizer gets from the dictionary."""
    manifest = (texts.DEMO / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    trained, held_out = texts.prose()
    words = [" ".join(one.split()).replace("_", " ") for one in texts.grammar().WORDS.values()]
    said = [json.loads(line)["text"] or "" for line in manifest]
    return [*words, *texts.grammar().TEMPLATES, *trained, *held_out, *said, *LISTENED]


def main(out: Path, state: Path = STATE) -> None:
    from pretrain import encoder, loop

    speech = loop.weights(state / "speech.safetensors", "model")
    write(out, SEED, speech, encoder.codec(state))
    print(f"{out}: {sum(file.stat().st_size for file in out.iterdir()):,} bytes")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:3]))
