"""What upstream's own CosyVoice 3 computes on the tests' small weights, written to official_cosyvoice3.json.

    PYTHONPATH=CHECKOUT:. PYTHON tests/families/cosyvoice3/official_cosyvoice3.py

CHECKOUT is FunAudioLLM/CosyVoice at the commit in envs/cosyvoice3; PYTHON is the interpreter `voicelathe env create cosyvoice3` makes.
`mels` are what openai-whisper makes of the same sound. Losses come from upstream's forward, one clip at a time, with its choice of layout forced; `steps` from its decoding, one position
after the other, with the mask put right.
"""

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import torch

from tests.factories import audio, cosyvoice3_base

CLIPS = [(5, 12, 30), (5, 9, 22), (5, 11, 80), (5, 10, 61)]  # tokens of instruction, text, speech
HERE = Path(__file__).with_suffix(".json")


def clips() -> list[tuple[torch.Tensor, ...]]:
    """The same numbers wherever they are drawn."""
    generator = torch.Generator().manual_seed(1)
    bounds = (250, 250, cosyvoice3_base.TOKENS)
    return [
        tuple(
            torch.randint(0, most, (n,), generator=generator) for most, n in zip(bounds, counts, strict=True)
        )
        for counts in CLIPS
    ]


def checksum(weights: dict[str, torch.Tensor]) -> float:
    """So that other weights are not taken for the same."""
    return float(sum(tensor.double().abs().sum() for _, tensor in sorted(weights.items())))


def main() -> None:
    from voicelathe.families.shared import torchaudio_shim

    torchaudio_shim.ensure()
    import whisper
    from cosyvoice.llm.llm import CosyVoice3LM, Qwen2Encoder

    from voicelathe.families.cosyvoice3.synthesis import widen_mask

    with tempfile.TemporaryDirectory() as directory:
        base = cosyvoice3_base.write(Path(directory) / "tiny")
        weights = torch.load(base / "llm.pt", weights_only=True)
        encoder = Qwen2Encoder(str(base / "CosyVoice-BlankEN"))
        hidden = cosyvoice3_base.HIDDEN
        model = CosyVoice3LM(hidden, hidden, cosyvoice3_base.TOKENS, encoder, None).eval()
        model.load_state_dict(weights, strict=True)
    found: dict[str, Any] = {"checksum": checksum(weights)}
    for layout, drawn in (("laid_out", 0.99), ("interleaved", 0.01)):
        random.random = lambda drawn=drawn: drawn
        found[layout] = [_loss(model, *clip) for clip in clips()]
    widen_mask(model.llm)
    found["steps"] = _steps(model)
    mels = whisper.log_mel_spectrogram(torch.from_numpy(audio.speech(1.0, 0, 16000)), n_mels=128)
    found["mels"] = {"frames": mels.shape[1], "some": mels[::16, ::20].flatten().tolist()}
    found["versions"] = {
        "torch": torch.__version__.split("+")[0],
        "transformers": __import__("transformers").__version__,
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
    HERE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


@torch.no_grad()
def _loss(model: Any, instruction: torch.Tensor, text: torch.Tensor, speech: torch.Tensor) -> float:
    batch = {}
    for name, row in (("instruct_token", instruction), ("text_token", text), ("speech_token", speech)):
        batch[name], batch[f"{name}_len"] = row[None], torch.tensor([len(row)])
    return float(model(batch, torch.device("cpu"))["loss"])


@torch.no_grad()
def _steps(model: Any) -> list[list[float]]:
    """States after four positions at once and two more one by one, of the first clip's text."""
    embedded = model.llm.model.model.embed_tokens(clips()[0][1][None])
    mask = torch.ones(1, 4, 4, dtype=torch.bool).tril()
    states, cache = model.llm.forward_one_step(embedded[:, :4], mask, None)
    found = [states[0, -1].tolist()]
    for position in (4, 5):
        one = embedded[:, position : position + 1]
        states, cache = model.llm.forward_one_step(one, torch.ones(1, 1, 1, dtype=torch.bool), cache)
        found.append(states[0, -1].tolist())
    return found


if __name__ == "__main__":
    main()
