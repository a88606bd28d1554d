"""Qwen3-TTS's training losses for many clips in one pass.

A position carries the sum of a text and a codec embedding. One clip is

    text   role role role | pad pad pad [pad] bos | text .. text eos | pad | pad  pad  ..
    codec   -    -    -   |  tags and speaker     | pad  .. pad  pad | bos | c_0  c_1  ..

with the text laid out before the speech, as upstream generates with `non_streaming_mode=True`. A frame is the sum of its 16 code
embeddings. The hidden state at bos predicts code 0 of frame 0, the one at frame t predicts code 0 of frame t + 1, and the one at
the last frame predicts the end. Codes 1 to 15 of a frame are predicted by a small second transformer that sees the hidden state of
the position BEFORE the frame, then the frame's codes one by one. Every shift happens here, once, by `predicts_at_N`.
Upstream's modules are called, never changed; tests/families/qwen3_tts/test_qwen3_tts_bugs.py shows what goes wrong elsewhere.

Shapes: T positions of the stream, F frames, G = 16 code groups, N = F + B targets of code 0 (the frames and one end a clip), B clips,
C model width, V codes.
"""

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

ROLE, TAIL = (
    3,
    5,
)  # tokens of "<|im_start|>assistant\n" before the text and of what upstream's template adds after it


@dataclass(frozen=True)
class Pack:
    """Several clips as one stream."""

    text_T: Tensor  # ids of the text channel
    codec_T: Tensor  # ids of the codec channel; 0 where it is silent or holds something else
    has_codec_T: Tensor  # False: nothing, the speaker or a frame there
    voice_BC: Tensor  # the speaker vectors that there are
    voice_at_B: Tensor
    codes_FG: Tensor
    frame_at_F: Tensor  # where each frame is fed
    target_N: Tensor  # code 0 of every frame, then the end, clip by clip
    predicts_at_N: Tensor  # the position whose hidden state predicts each target
    ends_at_B: Tensor  # the ends among the N targets
    frame_of_F: Tensor  # the frames among the N targets
    count_B: Tensor  # frames of each clip
    at: packing.PackLayout


def pack(
    config: Any,
    ids: Sequence[Tensor],
    codes: Sequence[Tensor],
    voices: Sequence[Tensor | None],
    languages: Sequence[int | None],
    device: torch.device,
) -> Pack:
    """Lay clips one behind the other. `ids` are the tokens of role and text, `codes` [F, G], `voices` [C] or None."""
    talker = config.talker_config
    text, codec, has, voice_at, frame_at, predicts_at, targets, lengths = [], [], [], [], [], [], [], []
    start = 0
    for tokens, frames, voice, language in zip(ids, codes, voices, languages, strict=True):
        tags = _tags(talker, language)
        count, spoken = len(frames), len(tokens) - ROLE
        head = [*tags, *([0] if voice is not None else []), talker.codec_pad_id]  # the speaker's slot, if any
        body = [talker.codec_pad_id] * (spoken + 1) + [talker.codec_bos_id]
        before = ROLE + len(head) + len(body)  # positions in front of the first frame
        pads = [config.tts_pad_token_id] * (len(head) - 1) + [config.tts_bos_token_id]
        after = [config.tts_eos_token_id] + [config.tts_pad_token_id] * (1 + count)
        text.append(torch.cat([tokens[:ROLE], torch.tensor(pads), tokens[ROLE:], torch.tensor(after)]))
        codec.append(torch.tensor([0] * ROLE + head + body + [0] * count))
        here = torch.ones(before + count, dtype=torch.bool)
        here[:ROLE] = here[before:] = False
        if voice is not None:
            here[ROLE + len(tags)] = False
            voice_at.append(start + ROLE + len(tags))
        has.append(here)
        frame_at.append(torch.arange(start + before, start + before + count))
        predicts_at.append(torch.arange(start + before - 1, start + before + count))
        targets.append(torch.cat([frames[:, 0].long(), torch.tensor([talker.codec_eos_token_id])]))
        lengths.append(before + count)
        start += before + count
    counts = torch.tensor([len(frames) for frames in codes])
    ends = (counts + 1).cumsum(0) - 1
    is_frame = torch.ones(int(ends[-1]) + 1, dtype=torch.bool)
    is_frame[ends] = False
    known = [voice for voice in voices if voice is not None]
    return Pack(
        text_T=torch.cat(text).to(device),
        codec_T=torch.cat(codec).to(device),
        has_codec_T=torch.cat(has).to(device),
        voice_BC=(torch.stack(known) if known else torch.zeros(0, talker.hidden_size)).to(device),
        voice_at_B=torch.tensor(voice_at, dtype=torch.long, device=device),
        codes_FG=torch.cat(list(codes)).long().to(device),
        frame_at_F=torch.cat(frame_at).to(device),
        target_N=torch.cat(targets).to(device),
        predicts_at_N=torch.cat(predicts_at).to(device),
        ends_at_B=ends.to(device),
        frame_of_F=is_frame.nonzero()[:, 0].to(device),
        count_B=counts.to(device),
        at=packing.layout(lengths, device),
    )


def _tags(talker: Any, language: int | None) -> list[int]:
    """No language: the model may guess; else "think", the language."""
    if language is None:
        return [talker.codec_nothink_id, talker.codec_think_bos_id, talker.codec_think_eos_id]
    return [talker.codec_think_id, talker.codec_think_bos_id, language, talker.codec_think_eos_id]


def losses(talker: Any, pack: Pack, recompute: Recompute) -> dict[str, Tensor]:
    """Per-clip means [B]: `codec0` over frames and end, `codec0_eos` the end alone, `sub_talker` over frames and 15 codes."""
    code0_NV, rest_FGV = logits(talker, pack, recompute)
    return score(code0_NV, rest_FGV, pack)


def logits(talker: Any, pack: Pack, recompute: Recompute) -> tuple[Tensor, Tensor]:
    """Logits of code 0 and the end [N, V], and of codes 1 to 15 [F, G - 1, V]; row by row what `score` compares them with.

    `recompute` names the layers (none, those of the code predictor, all) of which only inputs are kept for backward.
    """
    hidden_TC = _talker(talker.model, embedded(talker, pack), pack, recompute == "all")
    predicting_NC = hidden_TC.index_select(0, pack.predicts_at_N)
    before_FC = predicting_NC.index_select(0, pack.frame_of_F)
    return talker.codec_head(predicting_NC), _predictor(talker, before_FC, pack.codes_FG, recompute != "none")


def endings(core: Any, pack: Pack) -> list[Tensor]:
    """Probability of the end [N] at every predicted position of each clip, the frames' and the end's own."""
    hidden_TC = _talker(core.talker.model, embedded(core.talker, pack), pack, False)
    code0_NV = core.talker.codec_head(hidden_TC.index_select(0, pack.predicts_at_N)).float()
    ends_N = code0_NV.softmax(dim=-1)[:, core.config.talker_config.codec_eos_token_id]
    return list(torch.split(ends_N, (pack.count_B + 1).tolist()))


def score(code0_NV: Tensor, rest_FGV: Tensor, pack: Pack) -> dict[str, Tensor]:
    """Cross entropies against the targets as they stand: nothing is shifted here."""
    code0_N = F.cross_entropy(code0_NV.float(), pack.target_N, reduction="none")
    rest_F = F.cross_entropy(
        rest_FGV.float().flatten(0, 1), pack.codes_FG[:, 1:].flatten(), reduction="none"
    ).view(len(rest_FGV), -1)
    return {
        "codec0": clip_means(code0_N, pack.count_B + 1),
        "codec0_eos": code0_N.index_select(0, pack.ends_at_B),
        "sub_talker": clip_means(rest_F.mean(dim=1), pack.count_B),
    }


def embedded(talker: Any, pack: Pack) -> Tensor:
    """The input of the talker [T, C]: text through its projection, plus codec tokens, speaker and frames."""
    text_TC = talker.text_projection(talker.model.text_embedding(pack.text_T))
    codec_TC = talker.model.codec_embedding(pack.codec_T) * pack.has_codec_T[:, None]
    frames_FC = _frames(talker, pack.codes_FG).sum(dim=1)
    codec_TC = codec_TC.index_copy(0, pack.frame_at_F, frames_FC.to(codec_TC.dtype))
    codec_TC = codec_TC.index_copy(0, pack.voice_at_B, pack.voice_BC.to(codec_TC.dtype))
    summed: Tensor = text_TC + codec_TC
    return summed


def _frames(talker: Any, codes_FG: Tensor) -> Tensor:
    """[F, G, C]: the talker embeds code 0, the predictor's own tables the others."""
    tables = [talker.model.codec_embedding, *talker.code_predictor.model.codec_embedding]
    return torch.stack([table(codes_FG[:, group]) for group, table in enumerate(tables)], dim=1)


def _talker(body: Any, embedded_TC: Tensor, pack: Pack, recompute: bool) -> Tensor:
    """The large transformer over the stream; each clip sees itself only."""
    hidden = embedded_TC[None]
    rope = body.rotary_emb(hidden, pack.at.position_T.expand(3, 1, -1))
    for layer in body.layers:
        hidden = run_layer(_layer, layer, hidden, rope, pack.at, recompute=recompute)
    normed: Tensor = body.norm(hidden)[0]
    return normed


def _layer(layer: Any, hidden: Tensor, rope: tuple[Tensor, Tensor], at: packing.PackLayout) -> Tensor:
    hidden = hidden + _attention(layer.self_attn, layer.input_layernorm(hidden), rope, at)
    out: Tensor = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return out


def _attention(attention: Any, hidden: Tensor, rope: tuple[Tensor, Tensor], at: packing.PackLayout) -> Tensor:
    """Project the packed stream and attend inside each clip."""
    from qwen_tts.core.models.modeling_qwen3_tts import apply_multimodal_rotary_pos_emb

    def heads(projection: nn.Module) -> Tensor:
        projected: Tensor = projection(hidden).unflatten(-1, (-1, attention.head_dim))
        return projected

    query = attention.q_norm(heads(attention.q_proj)).transpose(1, 2)
    key = attention.k_norm(heads(attention.k_proj)).transpose(1, 2)
    sections = attention.rope_scaling
    query, key = apply_multimodal_rotary_pos_emb(
        query, key, *rope, sections["mrope_section"], sections["interleaved"]
    )
    packed = attend(query, key, heads(attention.v_proj).transpose(1, 2), at)
    out: Tensor = attention.o_proj(packed[None])
    return out


def _predictor_layer(layer: Any, hidden: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    out: Tensor = layer.forward(hidden, position_embeddings=rope)[0]
    return out


def _predictor(talker: Any, before_FC: Tensor, codes_FG: Tensor, recompute: bool) -> Tensor:
    """Logits of codes 1 to 15: position 0 is the hidden state before the frame, position g the frame's code g - 1."""
    predictor = talker.code_predictor
    tokens = torch.cat([before_FC[:, None], _frames(talker, codes_FG)[:, :-1]], dim=1)
    hidden = predictor.small_to_mtp_projection(tokens)
    positions = torch.arange(hidden.shape[1], device=hidden.device)[None]
    rope = predictor.model.rotary_emb(hidden, positions)
    for layer in predictor.model.layers:  # without a mask upstream's attention is causal
        hidden = run_layer(_predictor_layer, layer, hidden, rope, recompute=recompute)
    hidden = predictor.model.norm(hidden)
    heads = [head(hidden[:, group]) for group, head in enumerate(predictor.lm_head, start=1)]
    return torch.stack(heads, dim=1)
