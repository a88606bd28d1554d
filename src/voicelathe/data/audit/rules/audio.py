"""Rules over the audio of one row that can be read: does somebody speak in it, and does it hold as much as its text says?"""

import numpy as np

from voicelathe.config import schema
from voicelathe.data import columns
from voicelathe.data.audit.rule import Limits, Seen, above, below, drop, over, trim, under
from voicelathe.data.clip import MeasuredRow
from voicelathe.data.corpus import Corpus, Mask

LEAST_HEARD_S = 1.0  # Silero VAD hears nothing in "heure" or a single letter (benchmarks/real_speech.py)
LEAST_BAND_S = 1.0  # of sound; a single vowel has nothing above 4 kHz
FREE_S = 1.2  # that a text may take besides its letters: a word has a fixed cost, and a pause before it
FULL_BAND_HZ = 15_000.0  # MP3 and AAC cut off at 15 to 17.5 kHz, and no voice is muffled by that
# LAME cuts at 8.35 kHz of 11.025 at 32 kbit/s, what sox writes of 22,050 Hz; Vorbis leaves out what is not heard, clip by clip: down to 6.75 kHz (measured)
LOSSY_BAND_SHARE = {"mp3": 0.7, "ogg": 0.6, "oga": 0.6}
HEARD_SLACK_S = 0.1  # by which the edges of a voice activity detector differ
SLACK = 1e-9  # what a share may differ in its last digits

TELEPHONE_HZ = 11025  # and below: nothing above 5.5 kHz, so s and f sound alike


def _too_short(clip: MeasuredRow, limits: Limits) -> Seen | None:
    return below(clip.measure.duration_s, limits.audit.min_duration_s, "s", 3)


def _too_long(clip: MeasuredRow, limits: Limits) -> Seen | None:
    return above(clip.measure.duration_s, limits.audit.max_duration_s, "s", 2)


def _nonfinite(clip: MeasuredRow, _: Limits) -> Seen | None:
    return above(clip.measure.num_nonfinite, 0, "samples", 0)


def _clipped(clip: MeasuredRow, limits: Limits) -> Seen | None:
    return above(clip.measure.clipped_share, limits.audit.max_clipped_share, "of the samples", 4)


def _silent(clip: MeasuredRow, limits: Limits) -> Seen | None:
    return above(clip.inner_silence_share, limits.audit.max_silence_share, "of the clip", 2)


def _no_speech(clip: MeasuredRow, limits: Limits) -> Seen | None:
    return None if clip.heard is None or clip.heard.speed is not None else _little_speech(clip, limits)


def _wrong_speed(clip: MeasuredRow, limits: Limits) -> Seen | None:
    """Speech at another speed only: a melody or a noise has none at any."""
    if clip.heard is None or clip.heard.speed is None or not _little_speech(clip, limits):
        return None
    return f"speech at {clip.heard.speed:g} times the speed", "speech at the rate of the file"


def _little_speech(clip: MeasuredRow, limits: Limits) -> Seen | None:
    """Too little speech for the sound between the edge silences; a second is the least that is judged."""
    if clip.heard is None or clip.speech_s is None or clip.speech_s < LEAST_HEARD_S:
        return None
    limit_s = limits.audit.min_speech_share * clip.speech_s
    if clip.heard.speech_s >= limit_s:
        return None
    return (
        f"{clip.heard.speech_s:.2f} s of speech in {clip.speech_s:.2f} s of sound",
        f"at least {limit_s:.2f}",
    )


def _steady(clip: MeasuredRow, limits: Limits) -> Seen | None:
    return below(clip.measure.level_spread_db, limits.audit.min_level_spread_db, "dB", 1)


def _edge_silence(clip: MeasuredRow, limits: Limits) -> Seen | None:
    kept = trimmed(clip, limits.audit)
    if kept is None:
        return None
    start_s, end_s = clip.row.start_s or 0.0, (clip.row.start_s or 0.0) + (clip.measure.duration_s or 0.0)
    before_s, after_s = clip.measure.leading_silence_s, clip.measure.trailing_silence_s
    seen = f"{before_s:.2f} s before and {after_s:.2f} s after; {start_s:g} to {end_s:g} s became {kept[0]:g} to {kept[1]:g} s"
    return seen, f"at most {limits.audit.max_edge_silence_s:g}"


def trimmed(clip: MeasuredRow, audit: schema.Audit) -> tuple[float, float] | None:
    """Start and end without the edge silence that is too long; None where both edges are within the limit, or all is silent.

    None, too, where the voice activity detector heard more speech than would be left: speech is never cut off.
    """
    measured, start_s = clip.measure, clip.row.start_s or 0.0
    before_s, after_s = measured.leading_silence_s, measured.trailing_silence_s
    if clip.speech_s is None or before_s is None or after_s is None or measured.duration_s is None:
        return None
    if max(before_s, after_s) <= audit.max_edge_silence_s:
        return None
    from_s = before_s - audit.kept_edge_silence_s if before_s > audit.max_edge_silence_s else 0.0
    cut_s = after_s - audit.kept_edge_silence_s if after_s > audit.max_edge_silence_s else 0.0
    if clip.heard is not None and clip.heard.speech_s > measured.duration_s - from_s - cut_s + HEARD_SLACK_S:
        return None
    first_s = round(start_s + from_s, 3) if from_s else start_s  # rounded, it could lie before the row
    return first_s, round(start_s + measured.duration_s - cut_s, 3)


def _band_limited(clip: MeasuredRow, limits: Limits) -> Seen | None:
    """A cliff in the spectrum, far below half the sample rate."""
    cutoff_hz, rate_hz = clip.measure.cutoff_hz, clip.measure.file_rate_hz
    if cutoff_hz is None or rate_hz is None or (clip.speech_s or 0.0) < LEAST_BAND_S:
        return None
    ending = clip.row.audio.lower().rpartition(".")[2]
    share = min(limits.audit.min_band_share, LOSSY_BAND_SHARE.get(ending, 1.0))
    limit_hz = min(share * rate_hz / 2, FULL_BAND_HZ)
    if cutoff_hz >= limit_hz:
        return None
    return f"nothing above {cutoff_hz:.0f} Hz in a file of {rate_hz} Hz", f"content up to {limit_hz:.0f} Hz"


def _declared_rate(clip: MeasuredRow, _: Limits) -> Seen | None:
    declared, real = clip.row.sample_rate_hz, clip.measure.file_rate_hz
    if declared is None or real is None or declared == real:
        return None
    return f"{declared} Hz declared", f"{real} Hz in the file"


def _file_rate(clip: MeasuredRow, limits: Limits) -> Seen | None:
    real, allowed = clip.measure.file_rate_hz, limits.audit.sample_rates_hz
    if real is None or real in allowed:
        return None
    advice = (
        f"; telephone speech? If it is wanted, add {real} to audit.sample_rates_hz and gate.sample_rates_hz"
        if real <= TELEPHONE_HZ
        else ""
    )
    return f"{real} Hz", f"one of {', '.join(map(str, allowed))}{advice}"


def _too_fast(clip: MeasuredRow, limits: Limits) -> Seen | None:
    """The fewest letters that the text can be read with, faster than anybody speaks."""
    if not clip.speech_s or not clip.num_spoken_chars:
        return None
    return above(clip.num_letters[0] / clip.speech_s, limits.audit.max_chars_per_s, "characters/s", 1)


def _too_slow(clip: MeasuredRow, limits: Limits) -> Seen | None:
    """More time than the most letters need at the slowest, and FREE_S on top."""
    if not clip.speech_s or not clip.num_spoken_chars:
        return None
    most_s = FREE_S + clip.num_letters[1] / limits.audit.min_chars_per_s
    return above(clip.speech_s, most_s, f"s for {clip.num_letters[1]:.0f} letters", 2)


def _channels(clip: MeasuredRow, _: Limits) -> Seen | None:
    return None if clip.row.channel is not None else above(clip.measure.num_channels, 1, "channels", 0)


# --- which rows may break them ---------------------------------------------------------------------------------------


def _may_be_silent(corpus: Corpus, limits: Limits) -> Mask:
    return np.asarray(corpus.inner_silence_share > limits.audit.max_silence_share - SLACK)


def _may_lack_speech(corpus: Corpus, limits: Limits) -> Mask:
    heard_s = columns.numbers(corpus.heard["speech_s"])
    return np.asarray(heard_s < limits.audit.min_speech_share * corpus.speech_s + SLACK)


def _may_have_long_edges(corpus: Corpus, limits: Limits) -> Mask:
    edges_s = np.maximum(corpus.measured("leading_silence_s"), corpus.measured("trailing_silence_s"))
    return np.asarray(edges_s > limits.audit.max_edge_silence_s)


def _may_be_band_limited(corpus: Corpus, limits: Limits) -> Mask:
    limit_hz = limits.audit.min_band_share * corpus.measured("file_rate_hz") / 2
    return np.asarray(corpus.measured("cutoff_hz") < limit_hz + SLACK)


def _may_have_another_rate(corpus: Corpus, _: Limits) -> Mask:
    rate_hz, declared_hz = corpus.measured("file_rate_hz"), columns.numbers(corpus.rows["sample_rate_hz"])
    return np.asarray(~np.isnan(rate_hz) & ~np.isnan(declared_hz) & (declared_hz != rate_hz))


def _may_have_odd_rate(corpus: Corpus, limits: Limits) -> Mask:
    rate_hz = corpus.measured("file_rate_hz")
    return np.asarray(~np.isnan(rate_hz) & ~np.isin(rate_hz, limits.audit.sample_rates_hz))


def _may_be_too_fast(corpus: Corpus, limits: Limits) -> Mask:
    return np.asarray(corpus.num_letters[0] / corpus.speech_s > limits.audit.max_chars_per_s)


def _may_be_too_slow(corpus: Corpus, limits: Limits) -> Mask:
    return np.asarray(corpus.speech_s > FREE_S + corpus.num_letters[1] / limits.audit.min_chars_per_s - SLACK)


RULES = (
    drop(
        "too_short",
        "A clip shorter than a syllable carries no speech and makes the losses of a step jump.",
        _too_short,
        under("duration_s", lambda audit: audit.min_duration_s),
    ),
    drop(
        "too_long",
        "A clip longer than the base was trained on does not fit its context or the memory.",
        _too_long,
        over("duration_s", lambda audit: audit.max_duration_s),
    ),
    drop(
        "nonfinite",
        "NaN or infinite samples turn the loss, and then every weight, into NaN.",
        _nonfinite,
        over("num_nonfinite", lambda _: 0.0),
    ),
    drop(
        "clipped",
        "Samples at full scale: the model learns the distortion as part of the voice.",
        _clipped,
        over("clipped_share", lambda audit: audit.max_clipped_share),
    ),
    drop(
        "silent",
        "Most of the clip between its edges is silence, so the text has nothing to be learned from.",
        _silent,
        _may_be_silent,
    ),
    drop(
        "no_speech",
        "Nobody speaks: music, noise or an empty room with a text that it does not say.",
        _no_speech,
        _may_lack_speech,
    ),
    drop(
        "wrong_speed",
        "Nobody speaks at the file's own sample rate, but somebody does at another: the header is wrong.",
        _wrong_speed,
        _may_lack_speech,
    ),
    drop(
        "steady",
        "The level hardly moves, as in a hum, a tone or noise; speech has syllables and pauses.",
        _steady,
        under("level_spread_db", lambda audit: audit.min_level_spread_db),
    ),
    drop(
        "declared_rate",
        "The file has another sample rate than declared; who trusts the manifest hears another pitch.",
        _declared_rate,
        _may_have_another_rate,
    ),
    drop(
        "file_rate",
        "A sample rate that no recording is made at points to a wrong header.",
        _file_rate,
        _may_have_odd_rate,
    ),
    drop(
        "band_limited",
        "Sampled again at a higher rate than it was recorded at: the model learns a muffled voice.",
        _band_limited,
        _may_be_band_limited,
    ),
    drop(
        "too_fast",
        "More text than can be said in this time: the clip is cut, sped up or has another text.",
        _too_fast,
        _may_be_too_fast,
    ),
    drop(
        "too_slow",
        "Less text than the speech takes: words are missing, or the clip is slowed down.",
        _too_slow,
        _may_be_too_slow,
    ),
    trim(
        "edge_silence",
        "Long silence at an edge teaches the model to start late or not to stop; it is cut off.",
        _edge_silence,
        _may_have_long_edges,
    ),
)
