"""VoxCPM's training loss for many clips in one pass, equal to upstream's forward clip by clip.

Upstream pads a batch to its longest clip, runs the local encoder and the local diffusion transformer over text and padding, too,
and encodes audio in the loop. Here latents come from the cache, the local models see audio positions only, and the clips of a
pass are one stream of tokens: every linear layer sees [1, T, C], attention is causal inside each clip and positions restart.
Upstream's modules are called, never changed. tests/families/voxcpm/test_voxcpm_parity.py holds the equality.

Shapes: T all positions of the pack, A its audio positions that are predicted, F its audio positions that are fed, B clips,
P latent frames a position, D latent width, C model width, K tokens of the condition: 2, or 1 in VoxCPM 1.5.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voicelathe.families.base import Recompute
from voicelathe.families.shared import packing
from voicelathe.families.shared.layers import run_layer
from voicelathe.families.shared.packing import attend, clip_means

AUDIO_START, REFERENCE_START, REFERENCE_END = 101, 103, 104  # hard-coded upstream (voxcpm2.py)


@dataclass(frozen=True)
class Pack:
    """Several clips as one stream.

    A clip is [103 reference 104] text 101 [prompt] audio: the last audio position and upstream's closing 102 are not fed, because no
    predicted position can see them. Of a prompt nothing is predicted; its words stand at the head of the text.
    """

    ids_T: Tensor  # token ids; 0 at audio positions
    fed_FPD: Tensor  # latents of the audio positions in the stream
    fed_at_F: Tensor  # where they are in the stream
    target_APD: Tensor  # latents to predict
    predicts_at_A: Tensor  # the position whose hidden state predicts each target
    previous_APD: Tensor  # the latent before each target, zero for the first where no prompt is continued
    stop_A: Tensor  # 1 at the last position of each clip
    count_B: Tensor  # predicted positions of each clip
    at: packing.PackLayout
    patches_FC: Tensor | None = None  # what the local encoder makes of `fed_FPD`, where that is known
    settled: "Settled | None" = None  # what the language models make of the stream, where that is known


@dataclass(frozen=True)
class Settled:
    """The part of a forward that no noise changes."""

    condition_AKC: Tensor
    stop_B: Tensor  # per-clip means of the stop loss


@dataclass(frozen=True)
class Noise:
    """Everything random of one forward."""

    keep_A: Tensor  # False: the condition is dropped (classifier-free guidance)
    time_A: Tensor  # in (0, 1)
    noise_APD: Tensor


def pack(
    texts: Sequence[Tensor],
    latents: Sequence[Tensor],
    references: Sequence[Tensor | None],
    device: torch.device,
    prompts: Sequence[Tensor | None] = (),
) -> Pack:
    """Lay clips one behind the other. `texts` are token ids [L], `latents` [A, P, D], `references` and `prompts` [R, P, D] or None."""
    ids, fed, fed_at, predicts_at, previous, lengths, start = [], [], [], [], [], [], 0
    for text, latent, reference, prompt in zip(
        texts, latents, references, prompts or [None] * len(texts), strict=True
    ):
        clip_ids, head = [], 0
        if reference is not None:
            head = reference.shape[0] + 2
            clip_ids += [
                torch.tensor([REFERENCE_START]),
                torch.zeros(head - 2, dtype=torch.long),
                torch.tensor([REFERENCE_END]),
            ]
            fed.append(reference)
            fed_at.append(torch.arange(start + 1, start + head - 1))
        before = latent[:0] if prompt is None else prompt
        first = head + text.numel()
        length = first + before.shape[0] + latent.shape[0]
        clip_ids += [text, torch.tensor([AUDIO_START]), torch.zeros(length - first - 1, dtype=torch.long)]
        ids.append(torch.cat(clip_ids))
        fed.append(torch.cat([before, latent[:-1]]))
        fed_at.append(torch.arange(start + first + 1, start + length))
        predicts_at.append(torch.arange(start + first + before.shape[0], start + length))
        previous.append(torch.cat([torch.zeros_like(latent[:1]), before, latent[:-1]])[-latent.shape[0] :])
        lengths.append(length)
        start += length
    counts = torch.tensor([latent.shape[0] for latent in latents])
    stop = torch.zeros(int(counts.sum()), dtype=torch.long)
    stop[counts.cumsum(0) - 1] = 1
    return Pack(
        ids_T=torch.cat(ids).to(device),
        fed_FPD=torch.cat(fed).to(device),
        fed_at_F=torch.cat(fed_at).to(device),
        target_APD=torch.cat(list(latents)).to(device),
        predicts_at_A=torch.cat(predicts_at).to(device),
        previous_APD=torch.cat(previous).to(device),
        stop_A=stop.to(device),
        count_B=counts.to(device),
        at=packing.layout(lengths, device),
    )


def draw(
    pack: Pack, keys: Sequence[int], drop: float, schedule: str, frozen: tuple[int, int] | None
) -> Noise:
    """Random numbers of each clip from its own CPU generator, so that they do not depend on who is packed beside it.

    Training follows upstream: conditions are dropped with probability `drop`, times are log-normal (or uniform). `frozen` =
    (pass, passes) is validation: nothing is dropped and the times of a clip are stratified over its positions and passes.
    """
    counts = pack.count_B.tolist()
    shape = pack.target_APD.shape[1:]
    keep, time, noise = [], [], []
    for count, key in zip(counts, keys, strict=True):
        generator = torch.Generator().manual_seed(key)
        if frozen is None:
            keep.append(torch.rand(count, generator=generator) > drop)
            quantile = torch.rand(count, generator=generator)
        else:
            this, passes = frozen
            keep.append(torch.ones(count, dtype=torch.bool))
            quantile = ((torch.arange(count) + (this + 0.5) / passes) / count)[
                torch.randperm(count, generator=generator)
            ]
        time.append(_times(quantile, schedule))
        noise.append(torch.randn((count, *shape), generator=generator))
    device = pack.target_APD.device
    return Noise(torch.cat(keep).to(device), torch.cat(time).to(device), torch.cat(noise).to(device))


def _times(quantile: Tensor, schedule: str) -> Tensor:
    """Upstream's `log-norm` schedule is sigmoid(N(-0.4, 1)) (unified_cfm.py, sample_r_t)."""
    if schedule == "uniform":
        return quantile
    normal = torch.special.ndtri(quantile.double().clamp(1e-6, 1 - 1e-6))
    return torch.sigmoid(normal - 0.4).float()


def losses(model: Any, pack: Pack, noise: Noise, recompute: Recompute) -> dict[str, Tensor]:
    """Per-clip means [B] of the flow-matching loss (`diff`) and of the stop loss (`stop`).

    `recompute` names the layers (none, those of the local diffusion decoder, all) of which only inputs are kept and the rest is
    computed again in backward.
    """
    known = pack.settled or settle(model, pack, recompute)
    condition_AKC = known.condition_AKC * noise.keep_A[:, None, None]
    difference_A = _flow_matching(
        model.feat_decoder.estimator, pack, noise, condition_AKC, recompute=recompute != "none"
    )
    return {"diff": clip_means(difference_A, pack.count_B), "stop": known.stop_B}


def settle(model: Any, pack: Pack, recompute: Recompute) -> Settled:
    """Everything but the local diffusion transformer: the language models and the end."""
    everywhere = recompute == "all"
    hidden_TC, patches_FC = _semantic(model, pack, everywhere)
    acoustic_TC = torch.zeros_like(hidden_TC).index_copy(0, pack.fed_at_F, patches_FC.to(hidden_TC.dtype))
    second = hasattr(model, "fusion_concat_proj")  # VoxCPM 2 concatenates what VoxCPM 1.5 adds
    both = (hidden_TC, acoustic_TC)
    fused_TC = model.fusion_concat_proj(torch.cat(both, dim=-1)) if second else both[0] + both[1]
    residual_TC = _language_model(model.residual_lm, fused_TC, pack, everywhere)

    semantic_AC = hidden_TC.index_select(0, pack.predicts_at_A)
    parts = [model.lm_to_dit_proj(semantic_AC)]
    parts += [model.res_to_dit_proj(residual_TC.index_select(0, pack.predicts_at_A))]
    condition_AKC = torch.stack(parts, dim=1) if second else (parts[0] + parts[1])[:, None]
    stop_A = F.cross_entropy(_stop_logits(model, semantic_AC), pack.stop_A, reduction="none")
    return Settled(condition_AKC, clip_means(stop_A, pack.count_B))


def endings(model: Any, pack: Pack) -> list[Tensor]:
    """Probability of the end [A] at every predicted position of each clip."""
    hidden_TC, _ = _semantic(model, pack, recompute=False)
    logits_A2 = _stop_logits(model, hidden_TC.index_select(0, pack.predicts_at_A))
    return list(torch.split(logits_A2.softmax(dim=-1)[:, 1], pack.count_B.tolist()))


def _semantic(model: Any, pack: Pack, recompute: bool) -> tuple[Tensor, Tensor]:
    """The first language model over the stream [T, C], quantised where speech was fed, and what it saw of speech [F, C]."""
    patches_FC = pack.patches_FC
    if patches_FC is None:
        patches_FC = encoded(model, pack.fed_FPD, recompute)
    text_scale = model.config.lm_config.scale_emb if model.config.lm_config.use_mup else 1.0
    embedded_TC = model.base_lm.embed_tokens(pack.ids_T) * text_scale
    embedded_TC = embedded_TC.index_copy(0, pack.fed_at_F, patches_FC.to(embedded_TC.dtype))
    hidden_TC = _language_model(model.base_lm, embedded_TC, pack, recompute)
    quantised_FC = model.fsq_layer(hidden_TC.index_select(0, pack.fed_at_F))
    return hidden_TC.index_copy(0, pack.fed_at_F, quantised_FC.to(hidden_TC.dtype)), patches_FC


def _stop_logits(model: Any, semantic_AC: Tensor) -> Tensor:
    """[A, 2]: goes on, ends."""
    logits_A2: Tensor = model.stop_head(model.stop_actn(model.stop_proj(semantic_AC)))
    return logits_A2.float()


def encoded(model: Any, fed_FPD: Tensor, recompute: bool = False) -> Tensor:
    """What the language models see of audio positions [F, C]: the local encoder, projected."""
    patches_FC: Tensor = model.enc_to_lm_proj(_local_encoder(model.feat_encoder, fed_FPD, recompute))
    return patches_FC


def _flow_matching(
    estimator: Any, pack: Pack, noise: Noise, condition_AKC: Tensor, recompute: bool
) -> Tensor:
    """Squared error of the predicted velocity, per position (Lipman et al., 2023; upstream's unified_cfm.py).

    The condition is two tokens beside the clock's, or one that the clock is added to (local_dit_v2.py, local_dit.py).
    """
    time = noise.time_A[:, None, None]
    noisy_APD = (1.0 - time) * pack.target_APD + time * noise.noise_APD
    clock_AC = estimator.time_mlp(estimator.time_embeddings(noise.time_A).to(noisy_APD.dtype))
    no_step = torch.zeros_like(noise.time_A)  # delta-t is 0 outside mean mode
    clock_AC = clock_AC + estimator.delta_time_mlp(estimator.time_embeddings(no_step).to(noisy_APD.dtype))
    clocked = condition_AKC.shape[1] == 1
    tokens = [condition_AKC + clock_AC[:, None]] if clocked else [condition_AKC, clock_AC[:, None]]
    tokens += [estimator.cond_proj(pack.previous_APD), estimator.in_proj(noisy_APD)]
    hidden = _local(estimator.decoder, torch.cat(tokens, dim=1), recompute)
    velocity_APD: Tensor = estimator.out_proj(hidden[:, -noisy_APD.shape[1] :])
    return (velocity_APD.float() - (noise.noise_APD - pack.target_APD)).pow(2).mean(dim=(1, 2))


def _local_encoder(encoder: Any, latents_FPD: Tensor, recompute: bool) -> Tensor:
    """One vector [F, C] for each position from its P latent frames and a learned summary token."""
    summary = encoder.special_token[0, 0].expand(latents_FPD.shape[0], 1, -1)
    tokens = torch.cat([summary, encoder.in_proj(latents_FPD)], dim=1)
    return _local(encoder.encoder, tokens, recompute)[:, 0]


def _local(body: Any, hidden: Tensor, recompute: bool) -> Tensor:
    """The small transformer inside a position: no causality, upstream's own layers."""
    positions = torch.arange(hidden.shape[1], device=hidden.device)
    rope = None if body.rope_emb is None else body.rope_emb(positions)
    for layer in body.layers:
        hidden = run_layer(_local_layer, layer, hidden, rope, recompute=recompute)
    normed: Tensor = body.norm(hidden)
    return normed


def _local_layer(layer: Any, hidden: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
    out: Tensor = layer.forward(hidden, rope, False)[0]
    return out


def _language_model(body: Any, hidden_TC: Tensor, pack: Pack, recompute: bool) -> Tensor:
    """A causal transformer over the stream; each clip sees itself only."""
    rope = None if body.rope_emb is None else body.rope_emb(pack.at.position_T)
    hidden = hidden_TC[None]
    for layer in body.layers:
        hidden = run_layer(_layer, layer, hidden, rope, pack.at, recompute=recompute)
    normed: Tensor = body.norm(hidden)[0]
    return normed


def _layer(layer: Any, hidden: Tensor, rope: tuple[Tensor, Tensor] | None, at: packing.PackLayout) -> Tensor:
    gain = layer.scale_depth / math.sqrt(layer.num_hidden_layers) if layer.use_mup else 1.0
    hidden = hidden + gain * _attention(layer.self_attn, layer.input_layernorm(hidden), rope, at)
    out: Tensor = hidden + gain * layer.mlp(layer.post_attention_layernorm(hidden))
    return out


def _attention(
    attention: Any, hidden: Tensor, rope: tuple[Tensor, Tensor] | None, at: packing.PackLayout
) -> Tensor:
    """Project the packed stream and attend inside each clip."""
    from voxcpm.modules.minicpm4.model import apply_rotary_pos_emb

    def heads(projection: nn.Module, count: int) -> Tensor:
        projected: Tensor = projection(hidden).unflatten(-1, (count, attention.head_dim)).transpose(1, 2)
        return projected

    query = heads(attention.q_proj, attention.num_heads)
    key = heads(attention.k_proj, attention.num_key_value_heads)
    value = heads(attention.v_proj, attention.num_key_value_heads)
    if rope is not None:
        query, key = apply_rotary_pos_emb(query, key, *rope)

    packed = attend(query, key, value, at)
    out: Tensor = attention.o_proj(packed[None])
    return out
