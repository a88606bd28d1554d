"""Which rows can break a rule at all? Whole columns answer for most of a corpus; only the others become a `Clip` and are judged.

A suspect may well be innocent; a row that is no suspect breaks nothing. So the findings are those of judging every row, which a
test compares.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from voicelathe.data import columns, scripts, shared, text, text_columns
from voicelathe.data.corpus import Corpus, Mask
from voicelathe.data.outliers import Usual
from voicelathe.data.phrases import Phrases
from voicelathe.data.repeats import Alike
from voicelathe.data.rules import Limits
from voicelathe.settings import Audit

SLACK = 1e-9  # what a share may differ in its last digits


def alone(corpus: Corpus, limits: Limits) -> Mask:
    """Rows that can break one of `rules.RULES`."""
    return _by_text(corpus, limits) | _by_audio(corpus, limits.audit) | _by_file(corpus, limits.audit)


def _by_text(corpus: Corpus, limits: Limits) -> Mask:
    """Whatever is not plain ASCII is looked at, and of plain ASCII what holds a phrase, a tag, nothing or too much."""
    import pyarrow.compute as pc

    texts = corpus.rows["text"]
    found = ~np.asarray(text_columns.is_simple(texts).to_numpy()) | (corpus.num_spoken_chars == 0)
    found |= columns.numbers(pc.utf8_length(texts)) > limits.audit.max_text_chars
    found |= columns.mask(pc.match_substring_regex(texts, text.TAG.pattern)) | _with_phrase(
        corpus, limits.phrases
    )
    foreign = [one for one in corpus.rows["language"].unique().to_pylist() if not _is_latin(one)]
    return np.asarray(found | columns.mask(pc.is_in(corpus.rows["language"], columns.strings(foreign))))


def _with_phrase(corpus: Corpus, phrases: Phrases) -> Mask:
    import pyarrow.compute as pc

    found = columns.mask(pc.is_in(corpus.words, columns.strings(phrases.whole)))
    if phrases.anywhere:
        found = found | columns.mask(
            pc.match_substring_regex(corpus.words, "|".join(map(re.escape, phrases.anywhere)))
        )
    return np.asarray(found)


def _is_latin(language: str) -> bool:
    wanted = scripts.expected(language)
    return wanted is None or "LATIN" in wanted


def _by_audio(corpus: Corpus, audit: Audit) -> Mask:
    edges_s = np.maximum(corpus.measured("leading_silence_s"), corpus.measured("trailing_silence_s"))
    duration_s, pace = corpus.measured("duration_s"), corpus.chars_per_s
    heard_s = columns.numbers(corpus.heard["speech_s"])
    return np.asarray(
        (duration_s < audit.min_duration_s)
        | (duration_s > audit.max_duration_s)
        | (corpus.measured("num_nonfinite") > 0)
        | (corpus.measured("clipped_share") > audit.max_clipped_share)
        | (corpus.inner_silence_share > audit.max_silence_share - SLACK)
        | (heard_s < audit.min_speech_share * corpus.speech_s + SLACK)
        | (corpus.measured("level_spread_db") < audit.min_level_spread_db)
        | (edges_s > audit.max_edge_silence_s)
        | (pace > audit.max_chars_per_s)
        | (pace < audit.min_chars_per_s)
    )


def _by_file(corpus: Corpus, audit: Audit) -> Mask:
    import pyarrow.compute as pc

    rate_hz, declared_hz = corpus.measured("file_rate_hz"), columns.numbers(corpus.rows["sample_rate_hz"])
    known = ~np.isnan(rate_hz)
    return np.asarray(
        pc.is_valid(corpus.measures["problem"]).to_numpy()
        | (corpus.measured("num_channels") > 1)
        | (corpus.measured("cutoff_hz") < audit.min_band_share * rate_hz / 2 + SLACK)
        | (known & ~np.isnan(declared_hz) & (declared_hz != rate_hz))
        | (known & ~np.isin(rate_hz, audit.sample_rates_hz))
    )


def odd(corpus: Corpus, paces: dict[str, Usual], audit: Audit) -> Mask:
    """Rows that can break one of `outliers.RULES`: an unusual pace, or something that a model heard beyond speech."""
    import pyarrow.compute as pc

    found = pc.is_valid(corpus.heard["cer"]).to_numpy() | pc.is_valid(corpus.heard["voice"]).to_numpy()
    found = found | (pc.equal(corpus.heard["is_aligned"], False).fill_null(False).to_numpy())
    for language, known in paces.items():
        distance = np.abs(corpus.chars_per_s - known.middle) / known.deviation
        of_it = columns.mask(pc.equal(corpus.rows["language"], language))
        found = found | (of_it & (distance > audit.max_pace_deviations - SLACK))
    return np.asarray(found)


def repeating(corpus: Corpus, bad: Mask, pairs: Sequence[Alike]) -> NDArray[np.int64]:
    """Places of the rows that share samples, seconds of a file, a performance, words or an id with another row."""
    import pyarrow.compute as pc

    found = same(columns.codes(corpus.measures["samples_sha256"])) | same(
        columns.codes(corpus.rows["user_id"])
    )
    found[shared.touching(columns.codes(corpus.rows["audio_sha256"]), *corpus.ends)] = True
    twins = {clip.row.clip_id for pair in pairs for clip in (pair.first, pair.second)}
    found |= columns.mask(pc.is_in(corpus.rows["clip_id"], columns.strings(twins)))
    language, said = columns.codes(corpus.rows["language"]), columns.codes(pc.fill_null(corpus.words, "  "))
    both = np.where(bad, -1, language * (said.max(initial=0) + 1) + said)
    return np.flatnonzero(found | same(np.unique(both, return_inverse=True)[1] - bool(bad.any())))


def same(code: NDArray[np.int64]) -> Mask:
    """Rows whose code another row has, too; -1 is nobody's."""
    return np.asarray((code >= 0) & (np.bincount(code + 1)[code + 1] > 1)) if len(code) else np.zeros(0, bool)
