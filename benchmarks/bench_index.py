"""One optimizer step of 8 mixed clips of IndexTTS2 in small, CPU, one thread: packed against transformers' own GPT-2.

Usage:  python -m benchmarks.bench_index [full|lora]
24 layers of 1280 become 8 of 320; 8194 codes stay, 12,000 pieces of text become 3,000. 50 codes a second make long clips. GPT-2 one clip at
a time has our losses, which is checked first. On a padded batch it is fed as upstream's `get_logits` feeds it, without a mask: codes of a
short text then see its padding, so that batch is timed and its losses are another model's.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_CBWR="AVX2,STRICT")
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from benchmarks import bench_families, table
from voicelathe import families
from voicelathe.families.indextts2.losses import SPEEDS, ClipTokens, Ids, losses, pack

REPEATS = 5
SIZES = {"layers": 8, "model_dim": 320, "heads": 5, "number_text_tokens": 3000}
IDS = Ids(0, 1, 8192, 8193)


class NoPositions(nn.Module):
    """In the place of GPT-2's own table: texts and codes bring their positions."""

    def forward(self, ids: Tensor) -> Tensor:
        return torch.zeros(1)


def clips(width: int) -> list[ClipTokens]:
    """1.6 to 8.8 s, the lengths of bench_step."""
    generator = torch.Generator().manual_seed(0)

    def one(frames: int) -> ClipTokens:
        text = torch.randint(2, SIZES["number_text_tokens"], (4 + frames // 4,), generator=generator)
        codes = torch.randint(0, IDS.mel_start, (4 * frames,), generator=generator)
        voice = torch.randn(32, width, generator=generator), torch.randn(width, generator=generator)
        condition_LC, emotion_C = voice
        return ClipTokens(text, codes, emotion_C, condition_LC)

    return [one(frames) for frames in bench_families.FRAMES]


def plain(core: Any, batch: Sequence[ClipTokens]) -> Tensor:
    """The same total, summed over the clips, by transformers' GPT-2 on rows padded with stops; logits of every position."""

    def padded(rows: list[Tensor], start: int, stop: int) -> tuple[Tensor, Tensor]:
        fed = [F.pad(F.pad(row, (1, 0), value=start), (0, 1), value=stop) for row in rows]
        aims = [F.pad(row, (0, 1), value=stop) for row in rows]
        return pad_sequence(fed, True, stop), pad_sequence(aims, True, -1)

    text, text_aim = padded([clip.text for clip in batch], IDS.text_start, IDS.text_stop)
    mel, mel_aim = padded([clip.codes for clip in batch], IDS.mel_start, IDS.mel_stop)
    voices = torch.stack(
        [clip.condition_LC + clip.emotion_C for clip in batch if clip.condition_LC is not None]
    )
    speeds = core.speed_emb.weight[list(SPEEDS)].expand(len(batch), -1, -1)
    words = core.text_embedding(text) + core.text_pos_embedding.emb.weight[: text.shape[1]]
    sounds = core.mel_embedding(mel) + core.mel_pos_embedding.emb.weight[: mel.shape[1]]
    states = core.gpt(inputs_embeds=torch.cat([voices, speeds, words, sounds], dim=1)).last_hidden_state
    states = core.final_norm(states)[:, -text.shape[1] - mel.shape[1] :]
    text_V, mel_V = core.text_head(states[:, : text.shape[1]]), core.mel_head(states[:, text.shape[1] :])
    return 0.2 * _summed(text_V, text_aim) + 0.8 * _summed(mel_V, mel_aim)


def _summed(logits: Tensor, aims: Tensor) -> Tensor:
    """Means of each row, added."""
    logits = logits[:, : aims.shape[1]].flatten(0, 1)
    each = F.cross_entropy(logits, aims.flatten(), ignore_index=-1, reduction="none").view_as(aims)
    summed: Tensor = (each.sum(1) / (aims >= 0).sum(1)).sum()
    return summed


def measure(mode: str) -> str:
    """A table of the five ways to make the step."""
    family: Any = families.find("indextts2")
    model = family.sketch({**family.published, **SIZES}, None).model
    core = model.core
    core.gpt.wpe = NoPositions()
    parameters = bench_families._trained(model, mode, ["attention", "mlp"])
    batch, optimizer = clips(SIZES["model_dim"]), torch.optim.AdamW(parameters, lr=1e-5)

    def total(part: Sequence[ClipTokens]) -> Tensor:
        found = losses(core, pack(part, IDS, model.device), model.recompute == "all")
        summed: Tensor = sum(weight * found[name] for name, weight in family.spec.loss_weights.items()).sum()
        return summed

    with torch.no_grad():
        torch.testing.assert_close(
            total(batch), sum(plain(core, [clip]) for clip in batch), rtol=1e-6, atol=0
        )

    def step(objective: Any, size: int, recompute: str = "none") -> None:
        model.checkpoint_blocks(recompute)
        for start in range(0, len(batch), size):
            (objective(batch[start : start + size]) / len(batch)).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    cases = {
        "GPT-2, one clip at a time": lambda: step(lambda part: plain(core, part), 1),
        "GPT-2, a padded batch": lambda: step(lambda part: plain(core, part), 8),
        "ours, one clip at a time": lambda: step(total, 1),
        "ours, packed": lambda: step(total, 8),
        "ours, packed, activations recomputed": lambda: step(total, 8, "all"),
    }
    millions = sum(parameter.numel() for parameter in core.parameters()) / 1e6
    title = f"IndexTTS2, {mode}, {millions:.1f} M parameters"
    return table.rows(title, table.interleaved(cases, REPEATS), "GPT-2, one clip at a time")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for mode in sys.argv[1:] or ("full", "lora"):
        print(measure(mode), flush=True)
