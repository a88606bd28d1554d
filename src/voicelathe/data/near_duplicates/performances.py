"""Which clips are the same performance, although their bytes and even their samples differ? From the fingerprints alone.

Equal words of two clips propose a pair and how far one is shifted against the other (Haitsma and Kalker, 2002); the bits of all
words that then lie on each other decide. Pairs are exact: whoever shares no word in 16 bits would not pass the limit either, but
for a few that are both short and much changed. A hum is like every other hum, and no copy of it: a clip that is as much
like itself somewhere else (Foote, "Visualizing music and audio using self-similarity", 1999) has nothing to be known by.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voicelathe.data.measures.fingerprint import Words

Ints = NDArray[np.int64]

# What a codec or another cut changes is spread over the clip; two sentences that share all but one word differ in one place.
# Demo corpus: changed copies at most 0.26 in their worst half second, sentences of one pattern at least 0.26, mostly 0.4.
STRETCH, WORST_STRETCH = 8, 0.3
MIN_WORDS = 12  # 0.8 s that lie on each other; less is no evidence
APART = 8  # words between which no window is shared, 0.5 s: speech has gone on to another sound by then
MOST_ALIKE = 64  # a word of more clips than this proposes nothing: it is a common sound
WORDS_PER_KEY = (
    4.0  # beyond this mean the next word's bits are added to the key, so that large corpora stay quick
)
PROBES, SLACK = 8, 0.1  # words looked at before all of them are compared, and how much worse they may be


@dataclass(frozen=True)
class Twins:
    """Two clips by their place in the list, the first below the second, and the share of bits in which they differ."""

    first: int
    second: int
    error: float


def find(prints: Sequence[Words], max_error: float, min_share: float) -> list[Twins]:
    """Pairs whose words differ in at most `max_error` of the bits over at least `min_share` of the shorter clip, in order.

    Clips that differ no more from themselves are in none.
    """
    lengths = np.array([len(one) for one in prints], np.int64)
    if len(prints) < 2 or lengths.sum() < MIN_WORDS:
        return []
    flat = np.concatenate(list(prints)).astype(np.uint32)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    first, second, shift = _proposed(_keys(flat), np.repeat(np.arange(len(prints)), lengths), starts)
    from_word = np.maximum(0, shift)  # of the first clip; its word w lies on word w - shift of the second
    num = np.minimum(lengths[first], lengths[second] + shift) - from_word
    needed = np.maximum(MIN_WORDS, min_share * np.minimum(lengths[first], lengths[second]))
    here, there = starts[first] + from_word, starts[second] + from_word - shift
    likely = (num >= needed) & (_probed(flat, here, there, num) <= max_error + SLACK)
    best: dict[tuple[int, int], float] = {}
    for at in np.flatnonzero(likely):
        error, worst = differences(flat[here[at] : here[at] + num[at]], flat[there[at] : there[at] + num[at]])
        pair = (int(first[at]), int(second[at]))
        if worst <= WORST_STRETCH and error <= best.get(pair, max_error):
            best[pair] = error
    plain = {at for at in {at for pair in best for at in pair} if _repeats_itself(prints[at], max_error)}
    return [Twins(*pair, error) for pair, error in sorted(best.items()) if plain.isdisjoint(pair)]


def differences(one: NDArray[np.unsignedinteger], other: NDArray[np.unsignedinteger]) -> tuple[float, float]:
    """Share of differing bits in words that lie on each other: of all, and of the worst stretch."""
    each = np.bitwise_count(one ^ other) / 16
    return float(each.mean()), float(np.convolve(each, np.ones(STRETCH) / STRETCH, "valid").max())


def _repeats_itself(words: Words, max_error: float) -> bool:
    """Whether half of the clip or more lies on itself APART words or more later, as it lies on a twin."""
    shifts = range(APART, len(words) - max(len(words) // 2, MIN_WORDS // 2) + 1)
    return any(np.bitwise_count(words[by:] ^ words[:-by]).mean() / 16 <= max_error for by in shifts)


def _keys(flat: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """What words are looked up by: all 16 bits, in large corpora with some of the word after it."""
    more = int(np.clip(np.ceil(np.log2(max(1.0, len(flat) / WORDS_PER_KEY))) - 16, 0, 12))
    after = np.append(flat[1:], np.uint32(0))
    return np.asarray((flat << more) | (after >> (16 - more)), np.uint32)


def _proposed(keys: NDArray[np.uint32], clip: Ints, starts: Ints) -> tuple[Ints, Ints, Ints]:
    """Pairs of clips with a key in common and the shift between them; each proposal once."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    counts = np.unique(ranked, return_counts=True)[1]
    common = np.repeat(counts > MOST_ALIKE, counts)
    order, ranked = order[~common], ranked[~common]
    found: list[Ints] = []
    for apart in range(1, int(counts[counts <= MOST_ALIKE].max(initial=1))):
        same = np.flatnonzero(ranked[apart:] == ranked[:-apart])
        one, other = order[same], order[same + apart]
        differ = clip[one] != clip[other]
        one, other = one[differ], other[differ]
        shift = (one - starts[clip[one]]) - (other - starts[clip[other]])
        found.append(np.stack([clip[one], clip[other], shift]))
    if not found:
        return (np.zeros(0, np.int64),) * 3
    unique = np.unique(np.concatenate(found, axis=1), axis=1)
    return unique[0], unique[1], unique[2]


def _probed(flat: NDArray[np.uint32], here: Ints, there: Ints, num: Ints) -> NDArray[np.float64]:
    """Share of differing bits in a few words spread over what lies on each other."""
    steps = np.linspace(0.0, 1.0, PROBES)
    at = (np.maximum(num - 1, 0)[:, None] * steps).astype(np.int64)
    last = len(flat) - 1
    differ = flat[np.minimum(here[:, None] + at, last)] ^ flat[np.minimum(there[:, None] + at, last)]
    return np.asarray(np.bitwise_count(differ).mean(axis=1) / 16)
