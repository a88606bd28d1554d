"""Several clips as one stream of positions: where each position lies, attention inside a clip, means of a clip.

Every linear layer sees [1, T, C]; attention is causal inside each clip and positions restart. Shared by the families whose
language model is a causal transformer.

Shapes: T all positions of the stream, H heads, W width of a head, B clips, N values of all clips, clip by clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class PackLayout:
    """Where the positions of a stream lie."""

    position_T: Tensor  # inside the clip
    slot_T: Tensor  # index into the padded [B * longest] view
    num_clips: int
    longest: int
    lengths: tuple[int, ...]


def layout(lengths: Sequence[int], device: torch.device) -> PackLayout:
    """Clips of these lengths, one behind the other."""
    longest = max(lengths)
    position = torch.cat([torch.arange(length) for length in lengths])
    slot = torch.cat([torch.arange(length) + clip * longest for clip, length in enumerate(lengths)])
    return PackLayout(position.to(device), slot.to(device), len(lengths), longest, tuple(lengths))


def attend(query: Tensor, key: Tensor, value: Tensor, at: PackLayout) -> Tensor:
    """Causal attention inside each clip: [1, H, T, W] (fewer heads in key and value are shared) -> [T, H * W].

    It runs on a right-padded view; padding comes after every real position of its clip, so causality hides it.
    """

    def padded(packed: Tensor) -> Tensor:
        heads, width = packed.shape[1], packed.shape[3]
        rows = packed.new_zeros(at.num_clips * at.longest, heads, width)
        rows = rows.index_copy(0, at.slot_T, packed[0].transpose(0, 1))
        return rows.view(at.num_clips, at.longest, heads, width).transpose(1, 2)

    mixed = F.scaled_dot_product_attention(
        padded(query), padded(key), padded(value), is_causal=True, enable_gqa=True
    )
    return mixed.transpose(1, 2).flatten(0, 1).index_select(0, at.slot_T).flatten(1)


def attend_apart(query: Tensor, key: Tensor, value: Tensor, at: PackLayout) -> Tensor:
    """The same, clip after clip: more calls and no padding, for long clips of unequal length, where the padded view costs more."""
    rows = (list(one.split(at.lengths, dim=2)) for one in (query, key, value))  # type: ignore[no-untyped-call]
    mixed = [
        F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=query.shape[1] != key.shape[1])
        for q, k, v in zip(*rows, strict=True)
    ]
    return torch.cat(mixed, dim=2)[0].transpose(0, 1).flatten(1)


def clip_means(values_N: Tensor, count_B: Tensor) -> Tensor:
    """[B] means; the counts are right by construction, and checking them (`unsafe=False`) makes the host wait twice. Segments, not a matrix of weights: a NaN of one clip must not reach another through 0 * NaN."""
    means_B: Tensor = torch.segment_reduce(values_N, "mean", lengths=count_B, unsafe=True)
    return means_B
