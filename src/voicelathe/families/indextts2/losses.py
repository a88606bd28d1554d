"""The part of IndexTTS2 that is trained, a GPT-2 over conditions, text and speech codes, on transformers alone; its losses in one pass.

Written from the names and shapes of the published tensors; nothing of upstream's code is used (its licence: docs/families/indextts2.md).
One clip is

    32 latents of the voice, each plus the emotion | speed 1 | speed 0 | text start, text .., text stop | code start, codes ..

and of IndexTTS 2.5, whose text positions also know the language,

    a projected speaker vector plus the emotion | 0 | 0 | text start, text .., text stop | code start, codes ..

The state at a text position predicts the next text token, the last one `text stop`; the state at a code position predicts the next
code, the last one the end. Text and codes have positions of their own, from 0; the conditions have none.

Shapes: T positions of the stream, K those with text, M those with codes, B clips, C model width, L latents of a voice (32, or 1),
S numbers of a speaker vector, V classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voicelathe.families.shared import packing
from voicelathe.families.shared.layers import run_layer
from voicelathe.families.shared.packing import attend_apart, clip_means

SPEEDS = (1, 0)  # rows of the speed table in front of the text, in this order; IndexTTS 2.5 has zeros there
SPEAKER_WIDTH = 192  # of campplus


class Positions(nn.Module):
    """A table of learned positions under the official name, `emb`."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(rows, width)


class SpeechGPT(nn.Module):
    """The official names of what is trained, and of the speed table, which is not. `languages`: rows of IndexTTS 2.5's table; 0: none."""

    def __init__(self, shape: Mapping[str, Any], languages: int = 0) -> None:
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        width, text, codes = shape["model_dim"], shape["number_text_tokens"] + 1, shape["number_mel_codes"]
        config = GPT2Config(
            n_layer=shape["layers"], n_head=shape["heads"], n_embd=width, n_positions=1, vocab_size=1, use_cache=False,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, attn_implementation="sdpa",
        )  # fmt: skip
        self.gpt = GPT2Model(config)
        del self.gpt.wte, self.gpt.wpe  # the tables below take their place
        self.text_embedding, self.mel_embedding = nn.Embedding(text, width), nn.Embedding(codes, width)
        self.text_pos_embedding = Positions(shape["max_text_tokens"] + 2, width)
        self.mel_pos_embedding = Positions(shape["max_mel_tokens"] + 3, width)
        if languages:
            self.lang_embedding, self.spk_emb_proj = (
                nn.Embedding(languages, width),
                nn.Linear(SPEAKER_WIDTH, width),
            )
        else:
            self.speed_emb = nn.Embedding(2, width)
        self.final_norm = nn.LayerNorm(width)
        self.text_head, self.mel_head = nn.Linear(width, text), nn.Linear(width, codes)


@dataclass(frozen=True)
class Ids:
    """Where text and codes start and stop."""

    text_start: int
    text_stop: int
    mel_start: int
    mel_stop: int


@dataclass(frozen=True)
class ClipTokens:
    """One clip: tokens, codes, and the voice and emotion it is heard with; the latents of a voice, or its vector and a language."""

    text: Tensor
    codes: Tensor
    emotion_C: Tensor
    condition_LC: Tensor | None = None
    speaker_S: Tensor | None = None
    language: int = 0  # row of its table


@dataclass(frozen=True)
class Pack:
    """Several clips as one stream."""

    condition_NC: Tensor  # N = L a clip: latents plus emotion, or the emotion alone, to which the projected vector is added
    condition_at_N: Tensor
    speed_at_BS: Tensor  # where the two speed rows lie
    text_K: Tensor
    text_at_K: Tensor
    text_place_K: Tensor  # position inside the text
    text_target_Q: Tensor  # Q: text and one stop a clip
    text_from_Q: Tensor  # the position whose state predicts each
    mel_M: Tensor
    mel_at_M: Tensor
    mel_place_M: Tensor
    mel_target_M: Tensor  # every code position predicts the next code or the end
    text_count_B: Tensor
    mel_count_B: Tensor
    at: packing.PackLayout
    speaker_NS: Tensor | None = None  # of IndexTTS 2.5, with the language of every text position
    language_K: Tensor | None = None


def pack(clips: Sequence[ClipTokens], ids: Ids, device: torch.device) -> Pack:
    """Lay clips one behind the other."""
    parts: dict[str, list[Tensor]] = {}
    lengths, start = [], 0

    def put(name: str, value: Tensor) -> None:
        parts.setdefault(name, []).append(value)

    for clip in clips:
        emotion_C, text, codes = clip.emotion_C.float(), clip.text.long(), clip.codes.long()
        condition_LC = emotion_C[None] if clip.condition_LC is None else clip.condition_LC.float() + emotion_C
        latents = len(condition_LC)
        fed_text = torch.cat([torch.tensor([ids.text_start]), text, torch.tensor([ids.text_stop])])
        fed_mel = torch.cat([torch.tensor([ids.mel_start]), codes])
        text_at = start + latents + len(SPEEDS) + torch.arange(len(fed_text))
        mel_at = int(text_at[-1]) + 1 + torch.arange(len(fed_mel))
        put("condition_NC", condition_LC)
        if clip.speaker_S is not None:
            put("speaker_NS", clip.speaker_S.float()[None])
            put("language_K", torch.full_like(fed_text, clip.language))
        put("condition_at_N", start + torch.arange(latents))
        put("speed_at_BS", (start + latents + torch.arange(len(SPEEDS)))[None])
        put("text_K", fed_text)
        put("text_at_K", text_at)
        put("text_place_K", torch.arange(len(fed_text)))
        put("text_target_Q", fed_text[1:])
        put("text_from_Q", text_at[:-1])
        put("mel_M", fed_mel)
        put("mel_at_M", mel_at)
        put("mel_place_M", torch.arange(len(fed_mel)))
        put("mel_target_M", torch.cat([codes, torch.tensor([ids.mel_stop])]))
        put("text_count_B", torch.tensor([len(text) + 1]))
        put("mel_count_B", torch.tensor([len(codes) + 1]))
        lengths.append(latents + len(SPEEDS) + len(fed_text) + len(fed_mel))
        start += lengths[-1]
    joined = {name: torch.cat(values).to(device) for name, values in parts.items()}
    return Pack(**joined, at=packing.layout(lengths, device))


def losses(model: Any, pack: Pack, recompute: bool) -> dict[str, Tensor]:
    """Per-clip means [B]: `text`, `mel` over codes and end, `mel_stop` the end alone. Nothing is shifted here."""
    return score(*logits(model, pack, recompute), pack)


def logits(model: Any, pack: Pack, recompute: bool) -> tuple[Tensor, Tensor]:
    """Of text [Q, V] and codes [M, V], row by row what `score` compares with the targets."""
    states_TC = hidden(model, pack, recompute)
    text_QC, mel_MC = (states_TC.index_select(0, at) for at in (pack.text_from_Q, pack.mel_at_M))
    return model.text_head(text_QC), model.mel_head(mel_MC)


def score(text_QV: Tensor, mel_MV: Tensor, pack: Pack) -> dict[str, Tensor]:
    """Cross entropies against the targets as they stand."""
    text_Q = F.cross_entropy(text_QV.float(), pack.text_target_Q, reduction="none")
    mel_M = F.cross_entropy(mel_MV.float(), pack.mel_target_M, reduction="none")
    ends_B = pack.mel_count_B.cumsum(0) - 1
    return {
        "text": clip_means(text_Q, pack.text_count_B),
        "mel": clip_means(mel_M, pack.mel_count_B),
        "mel_stop": mel_M.index_select(0, ends_B),
    }


def endings(model: Any, pack: Pack, ids: Ids) -> list[Tensor]:
    """Probability of the end at every code position of each clip."""
    _, mel_MV = logits(model, pack, False)
    ends_M = mel_MV.float().softmax(dim=-1)[:, ids.mel_stop]
    return list(torch.split(ends_M, pack.mel_count_B.tolist()))


def hidden(model: Any, pack: Pack, recompute: bool) -> Tensor:
    """States [T, C]; each clip sees itself only."""
    text_KC = model.text_embedding(pack.text_K) + model.text_pos_embedding.emb(pack.text_place_K)
    mel_MC = model.mel_embedding(pack.mel_M) + model.mel_pos_embedding.emb(pack.mel_place_M)
    placed = [(pack.condition_at_N, pack.condition_NC)]
    if pack.speaker_NS is None:
        speeds_BSC = model.speed_emb.weight[list(SPEEDS)].expand(len(pack.speed_at_BS), -1, -1)
        placed.append((pack.speed_at_BS.flatten(), speeds_BSC.flatten(0, 1)))
    else:
        voice_NC = model.spk_emb_proj(pack.speaker_NS.to(model.spk_emb_proj.weight.dtype))
        placed = [(pack.condition_at_N, voice_NC + pack.condition_NC)]
        text_KC = text_KC + model.lang_embedding(pack.language_K)
    stream_TC = mel_MC.new_zeros(len(pack.at.position_T), mel_MC.shape[1])
    for at, rows in (*placed, (pack.text_at_K, text_KC), (pack.mel_at_M, mel_MC)):
        stream_TC = stream_TC.index_copy(0, at, rows.to(stream_TC.dtype))
    stream = stream_TC[None]
    for block in model.gpt.h:
        stream = run_layer(_block, block, stream, pack.at, recompute=recompute)
    normed: Tensor = model.final_norm(model.gpt.ln_f(stream))[0]
    return normed


def _block(block: Any, stream: Tensor, at: packing.PackLayout) -> Tensor:
    stream = stream + _attention(block.attn, block.ln_1(stream), at)
    out: Tensor = stream + block.mlp(block.ln_2(stream))
    return out


def _attention(attention: Any, stream: Tensor, at: packing.PackLayout) -> Tensor:
    def heads(part: Tensor) -> Tensor:
        return part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)  # type: ignore[no-untyped-call, no-any-return]

    query, key, value = attention.c_attn(stream).split(attention.split_size, dim=2)
    mixed: Tensor = attention.c_proj(attend_apart(heads(query), heads(key), heads(value), at)[None])
    return mixed
