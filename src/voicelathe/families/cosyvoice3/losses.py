"""The part of CosyVoice 3 that is trained, a Qwen2 over text and speech tokens, on transformers alone; its losses for many clips in one pass.

One clip, laid out before its speech:

    sos | instruction, text | task | speech ..       the state at `task` predicts the first speech token, the last one predicts the end

or interleaved (upstream's bistream, for text that arrives while it speaks): five text tokens, fifteen speech tokens and so on; every
full group ends by predicting `fill`, the rest is laid out as above from `task` on. Upstream draws the second layout for half of the
clips that have more than three speech tokens a text token; validation never does. The module tree is that of the official llm.pt, so
its names load strictly; tests/families/cosyvoice3/test_cosyvoice3.py compares losses with the official class's.

Shapes: T positions of the stream, K those with text, M those with speech, N targets (speech tokens, fills, one end a clip), B clips,
C model width, V speech tokens and their specials.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voicelathe.families.shared import packing
from voicelathe.families.shared.layers import run_layer
from voicelathe.families.shared.packing import attend, clip_means

SPECIALS = 200  # rows behind the speech tokens
TEXT_GROUP, SPEECH_GROUP = 5, 15  # upstream's mix_ratio


class SpeechLM(nn.Module):
    """The official names: llm.model, llm_decoder, speech_embedding."""

    def __init__(self, config: Any, num_speech: int) -> None:
        from transformers import Qwen2ForCausalLM

        super().__init__()
        self.llm = nn.Module()
        self.llm.model = Qwen2ForCausalLM(config)
        self.llm_decoder = nn.Linear(config.hidden_size, num_speech + SPECIALS, bias=False)
        self.speech_embedding = nn.Embedding(num_speech + SPECIALS, config.hidden_size)


@dataclass(frozen=True)
class Ids:
    """Special rows of the speech table."""

    sos: int
    end: int
    task: int
    fill: int

    @classmethod
    def of(cls, model: Any) -> "Ids":
        """They follow the speech tokens."""
        first = model.speech_embedding.num_embeddings - SPECIALS
        return cls(first, first + 1, first + 2, first + 3)


@dataclass(frozen=True)
class ClipTokens:
    """Tokens of one clip; `heard` is speech in front that is not predicted, of a reference whose words are in `text`, too."""

    instruction: Tensor
    text: Tensor
    speech: Tensor
    heard: Tensor | None = None

    @property
    def can_interleave(self) -> bool:
        return self.heard is None and len(self.speech) * TEXT_GROUP > len(self.text) * SPEECH_GROUP


@dataclass(frozen=True)
class Pack:
    """Several clips as one stream."""

    text_K: Tensor
    text_at_K: Tensor
    speech_M: Tensor
    speech_at_M: Tensor
    target_N: Tensor
    predicts_at_N: Tensor  # the position whose hidden state predicts each target
    ends_at_B: Tensor  # the ends among the N targets
    count_B: Tensor  # targets of each clip
    at: packing.PackLayout


def pack(clips: Sequence[ClipTokens], interleave: Sequence[bool], ids: Ids, device: torch.device) -> Pack:
    """Lay clips one behind the other; `interleave` is granted where the clip is long enough for its text."""
    words: list[tuple[int, int]] = []  # (id, position)
    sounds: list[tuple[int, int]] = []
    targets: list[tuple[int, int]] = []
    counts, lengths = [], []
    start = 0
    for clip, mixed in zip(clips, interleave, strict=True):
        lay = _interleaved if mixed and clip.can_interleave else _laid_out
        tokens, wanted = lay(clip, ids)
        assert len(tokens) == len(wanted)
        for position, (token, is_speech) in enumerate(tokens, start=start):
            (sounds if is_speech else words).append((token, position))
        found = [
            (target, position) for position, target in enumerate(wanted, start=start) if target is not None
        ]
        targets += found
        counts.append(len(found))
        lengths.append(len(tokens))
        start += len(tokens)

    def column(pairs: list[tuple[int, int]], which: int) -> Tensor:
        return torch.tensor([pair[which] for pair in pairs], dtype=torch.long, device=device)

    count_B = torch.tensor(counts)
    return Pack(
        text_K=column(words, 0), text_at_K=column(words, 1), speech_M=column(sounds, 0), speech_at_M=column(sounds, 1),
        target_N=column(targets, 0), predicts_at_N=column(targets, 1), ends_at_B=(count_B.cumsum(0) - 1).to(device),
        count_B=count_B.to(device), at=packing.layout(lengths, device),
    )  # fmt: skip


_Tokens = list[tuple[int, bool]]  # (id, whether it is of the speech table)


def _laid_out(clip: ClipTokens, ids: Ids) -> tuple[_Tokens, list[int | None]]:
    words = [*clip.instruction.tolist(), *clip.text.tolist()]
    heard, speech = [] if clip.heard is None else clip.heard.tolist(), clip.speech.tolist()
    tokens = [(ids.sos, True), *((one, False) for one in words), (ids.task, True)]
    tokens += [(one, True) for one in [*heard, *speech]]
    return tokens, [*([None] * (1 + len(words) + len(heard))), *speech, ids.end]


def _interleaved(clip: ClipTokens, ids: Ids) -> tuple[_Tokens, list[int | None]]:
    text, speech = clip.text.tolist(), clip.speech.tolist()
    tokens: _Tokens = [(ids.sos, True), *((one, False) for one in clip.instruction.tolist())]
    wanted: list[int | None] = [None] * len(tokens)
    groups = len(text) // TEXT_GROUP
    for group in range(groups):
        words = text[group * TEXT_GROUP : (group + 1) * TEXT_GROUP]
        sounds = speech[group * SPEECH_GROUP : (group + 1) * SPEECH_GROUP]
        tokens += [*((one, False) for one in words), *((one, True) for one in sounds)]
        wanted += [*([None] * (TEXT_GROUP - 1)), *sounds, ids.fill]
    words, sounds = text[groups * TEXT_GROUP :], speech[groups * SPEECH_GROUP :]
    tokens += [*((one, False) for one in words), (ids.task, True), *((one, True) for one in sounds)]
    wanted += [*([None] * len(words)), *sounds, ids.end]
    return tokens, wanted


def losses(model: Any, pack: Pack, recompute: bool) -> dict[str, Tensor]:
    """Per-clip means [B]: `lm` over speech tokens and end, `lm_eos` the end alone. Nothing is shifted here."""
    return score(logits(model, pack, recompute), pack)


def logits(model: Any, pack: Pack, recompute: bool) -> Tensor:
    """[N, V], row by row what `score` compares with the targets."""
    return model.llm_decoder(hidden(model, pack, recompute).index_select(0, pack.predicts_at_N))  # type: ignore[no-any-return]


def score(logits_NV: Tensor, pack: Pack) -> dict[str, Tensor]:
    """Cross entropies against the targets as they stand."""
    found_N = F.cross_entropy(logits_NV.float(), pack.target_N, reduction="none")
    return {"lm": clip_means(found_N, pack.count_B), "lm_eos": found_N.index_select(0, pack.ends_at_B)}


def endings(model: Any, pack: Pack, ids: Ids) -> list[Tensor]:
    """Probability of the end at every predicted position of each clip."""
    ends_N = logits(model, pack, False).float().softmax(dim=-1)[:, ids.end]
    return list(torch.split(ends_N, pack.count_B.tolist()))


def hidden(model: Any, pack: Pack, recompute: bool) -> Tensor:
    """States [T, C] of the language model; each clip sees itself only."""
    body = model.llm.model.model
    words_KC, sounds_MC = body.embed_tokens(pack.text_K), model.speech_embedding(pack.speech_M)
    stream_TC = sounds_MC.new_zeros(len(pack.at.position_T), sounds_MC.shape[1])
    stream_TC = stream_TC.index_copy(0, pack.speech_at_M, sounds_MC)
    stream = stream_TC.index_copy(0, pack.text_at_K, words_KC.to(stream_TC.dtype))[None]
    rope = body.rotary_emb(stream, pack.at.position_T[None])
    for layer in body.layers:
        stream = run_layer(_layer, layer, stream, rope, pack.at, recompute=recompute)
    normed: Tensor = body.norm(stream)[0]
    return normed


def _layer(layer: Any, stream: Tensor, rope: tuple[Tensor, Tensor], at: packing.PackLayout) -> Tensor:
    stream = stream + _attention(layer.self_attn, layer.input_layernorm(stream), rope, at)
    out: Tensor = stream + layer.mlp(layer.post_attention_layernorm(stream))
    return out


def _attention(attention: Any, stream: Tensor, rope: tuple[Tensor, Tensor], at: packing.PackLayout) -> Tensor:
    from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

    def heads(projection: nn.Module) -> Tensor:
        projected: Tensor = projection(stream).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        return projected

    query, key = apply_rotary_pos_emb(heads(attention.q_proj), heads(attention.k_proj), *rope)
    mixed: Tensor = attention.o_proj(attend(query, key, heads(attention.v_proj), at)[None])
    return mixed
