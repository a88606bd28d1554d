"""Train the language model and the diffusion parts of the base, with the project's own packing, noise and losses.

Three helpers are trained along and thrown away: the phone of each latent and its mean, both read from the hidden state, and one
attention head that is shown where in the text it is (known from flite). Without them the alignment of text and sound takes most of
the training.

Short clips of the voice rms come first, then longer ones, then the other voices join, always with a reference. Without a reference
the base speaks as rms.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain import assemble, design, loop, rows
from pretrain.corpus import NUM_CLIPS, SEED
from pretrain.warm import translated
from voicelathe import families
from voicelathe.config import schema

# The rate goes down three times. From nothing: a curriculum over one volume of texts in the first round, all of them in the second. From an
# earlier base there is no curriculum. The last round is of many voices.
STEPS, ROUNDS = 27_000, (7_000, 13_000)
WARM_STEPS, WARM_ROUNDS, WARM_RATE = 14_000, (0,), 1e-3  # the last round alone
DISTURBANCE = 0.25  # deviation of the noise on latents that are fed back, at most
GUIDED_LAYER, GUIDED_HEAD = 1, 0
PLAN = {
    "rate": 1.5e-3,
    "warmup": 60,
    "weight_decay": 0.01,
    "weights": {"diff": 1.0, "stop": 0.5, "phone": 0.5, "mean": 0.5, "guide": 0.5},
}


def train(
    state: Path, minutes: float, steps: int | None = None, device: str = "cpu", warm: Path | None = None
) -> bool:
    """Go on with STATE/speech.safetensors; True when it is finished. `warm`: a base to start from."""
    base = state / "base"
    if not (base / "model.safetensors").is_file():
        assemble.write(base, SEED, translated(state, warm) if warm else None)
    family: Any = families.find("voxcpm2")
    machine = schema.Machine(device=device, threads=1, processes=1)
    model = family.open_model(base, family.describe(base, "Apache-2.0", False), machine)
    clips, num_phones = rows.read(state, model.core.text_tokenizer)
    torch.manual_seed(SEED)
    helpers, watch = Helpers(num_phones).to(device), Watch(model.core)
    model.core.train()
    steps = steps or (WARM_STEPS if warm else STEPS)
    rounds = WARM_ROUNDS if warm else ROUNDS
    first = 1 if warm else min(rounds[0], steps)

    def known(step: int) -> list[rows.Clip]:
        return clips[:NUM_CLIPS] if step <= first else clips

    def losses(step: int) -> dict[str, Tensor]:
        is_last = step > rounds[-1]
        chosen = rows.of_many(clips, step) if is_last else rows.chosen(known(step), step, first)
        return step_losses(family, model, watch, helpers, list(chosen), step)

    rate = {"rate": WARM_RATE} if warm else {}
    plan = loop.Plan(**{**PLAN, "steps": steps, "minutes": minutes, "ends": rounds, **rate})  # type: ignore[arg-type]
    return loop.train(state / "speech.safetensors", {"model": model.core, "helpers": helpers}, plan, losses)


class Helpers(nn.Module):
    """What is trained along and thrown away."""

    def __init__(self, num_phones: int) -> None:
        super().__init__()
        self.phone = nn.Linear(design.HIDDEN, design.PATCH * num_phones)
        self.mean = nn.Linear(2 * design.HIDDEN, design.PATCH * design.LATENT)
        self.num_phones = num_phones


class Watch:
    """Keeps what passes through some layers of the model in the last forward."""

    def __init__(self, core: Any) -> None:
        self.seen: dict[str, Tensor] = {}
        attention = core.base_lm.layers[GUIDED_LAYER].self_attn
        for name, module in {"semantic": core.lm_to_dit_proj, "residual": core.res_to_dit_proj}.items():
            module.register_forward_pre_hook(lambda _, given, name=name: self.keep(name, given[0]))
        for name, module in {"query": attention.q_proj, "key": attention.k_proj}.items():
            module.register_forward_hook(lambda _, __, made, name=name: self.keep(name, made))

    def keep(self, name: str, value: Tensor) -> None:
        self.seen[name] = value


def step_losses(
    family: Any, model: Any, watch: Watch, helpers: Helpers, batch: list[rows.Clip], step: int
) -> dict[str, Tensor]:
    """`spoken_losses`, and those of the helpers: `phone`, `mean`. Means over the clips or positions of a step."""
    losses, pack = spoken_losses(family, model, watch, batch, step)
    guide = losses.pop("guide")
    semantic, residual = watch.seen["semantic"], watch.seen["residual"]
    phones = torch.cat([clip.phones_AP for clip in batch]).to(semantic.device)
    logits = helpers.phone(semantic).unflatten(-1, (design.PATCH, helpers.num_phones))
    losses["phone"] = F.cross_entropy(logits.flatten(0, 1), phones.flatten())
    means = helpers.mean(torch.cat([semantic, residual], -1)).unflatten(-1, (design.PATCH, -1))
    losses["mean"] = (means - pack.target_APD).abs().mean()
    return losses | {"guide": guide}


def spoken_losses(
    family: Any, model: Any, watch: Watch, batch: list[rows.Clip], step: int
) -> tuple[dict[str, Tensor], Any]:
    """The project's `diff` and `stop`, and `guide`, with the pack that they are of: what is fed back is disturbed."""
    generator = torch.Generator().manual_seed(SEED + step)
    pack = model.collate([clip.item for clip in batch])
    noise = model.draw(pack, [step * 100 + at for at in range(len(batch))], None)

    def disturbed(latents: Tensor) -> Tensor:
        strength = DISTURBANCE * torch.rand(len(latents), 1, 1, generator=generator)
        return latents + (strength * torch.randn(latents.shape, generator=generator)).to(latents.device)

    pack = replace(pack, fed_FPD=disturbed(pack.fed_FPD), previous_APD=disturbed(pack.previous_APD))
    losses = {name: value.mean() for name, value in model.losses(pack, noise).items()}
    losses["guide"] = _guide(model.core, watch, pack, batch)
    return losses, pack


def _guide(core: Any, watch: Watch, pack: Any, batch: list[rows.Clip]) -> Tensor:
    """Cross-entropy between where one head looks in the text and where the sound is (`alignment.shares`)."""
    from voxcpm.modules.minicpm4.model import apply_rotary_pos_emb

    attention = core.base_lm.layers[GUIDED_LAYER].self_attn
    width, group = attention.head_dim, attention.num_heads // attention.num_key_value_heads
    query = watch.seen["query"][0].unflatten(-1, (-1, width))[:, GUIDED_HEAD]
    key = watch.seen["key"][0].unflatten(-1, (-1, width))[:, GUIDED_HEAD // group]
    rope = core.base_lm.rope_emb(pack.at.position_T)
    query, key = (one[0, 0] for one in apply_rotary_pos_emb(query[None, None], key[None, None], *rope))
    total, first = torch.zeros((), device=query.device), 0
    for clip in batch:
        count, length = clip.shares_AL.shape
        at = pack.predicts_at_A[first : first + count]
        text = torch.arange(int(at[0]) - length, int(at[0]), device=at.device)
        scores = query[at] @ key[text].T / width**0.5
        total = total - (clip.shares_AL.to(at.device) * scores.log_softmax(-1)).sum(-1).mean()
        first += count
    return total / len(batch)
