"""Rules over level, noise and channels: what is wrong with a recording that is speech. Most of it can be corrected and is only named."""

import numpy as np

from voicelathe.data.audio import scales
from voicelathe.data.audit.rule import Limits, Seen, above, below, drop, over, under, warn
from voicelathe.data.clip import MeasuredRow
from voicelathe.data.corpus import Corpus, Mask

MOST_LOSS_DB, MOST_SPREAD_DB = 6.0, 20.0  # of the mean of channels that cancel; of a channel that is empty
LEAST_LIKENESS = 0.3  # of the levels of two channels over time: one voice in two microphones has over 0.8
HUM_DBFS = -65.0  # of the floor: less is heard by nobody


def _channels(clip: MeasuredRow, _: Limits) -> Seen | None:
    return None if clip.row.channel is not None else above(clip.measure.num_channels, 1, "channels", 0)


def _offset(clip: MeasuredRow, limits: Limits) -> Seen | None:
    offset = clip.measure.offset
    return above(None if offset is None else abs(offset), limits.audit.max_offset, "of full scale", 4)


def _integer_scale(clip: MeasuredRow, _: Limits) -> Seen | None:
    full = clip.measure.full_scale
    bits = scales.OF_INTEGERS.get(full or 1.0)
    return (f"the scale of {bits}-bit integers; read as 1/{full:.0f}", "full scale 1") if bits else None


def _low_level(clip: MeasuredRow, limits: Limits) -> Seen | None:
    return below(clip.measure.speech_dbfs, limits.audit.min_level_dbfs, "dBFS at its loudest", 1)


def _hum(clip: MeasuredRow, limits: Limits) -> Seen | None:
    """Mains hum or rumble that a listener can hear: most of the noise floor, and that above HUM_DBFS."""
    if (clip.measure.floor_dbfs or -200.0) < HUM_DBFS:
        return None
    return above(clip.measure.hum_share, limits.audit.max_hum_share, "of the noise lies under 130 Hz", 2)


def _channels_cancel(clip: MeasuredRow, limits: Limits) -> Seen | None:
    """Where one channel is used alone nothing cancels: of six, five of which are empty, the mean is quiet."""
    if clip.row.channel is not None or _one_sided(clip, limits) is not None:
        return None
    return above(clip.measure.channel_loss_db, MOST_LOSS_DB, "dB lost", 1)


def _one_sided(clip: MeasuredRow, _: Limits) -> Seen | None:
    if clip.row.channel is not None or above(clip.measure.channel_spread_db, MOST_SPREAD_DB, "dB", 1) is None:
        return None
    seen = f"channel {clip.measure.loudest_channel} is {clip.measure.channel_spread_db:.0f} dB louder and is used"
    return seen, f"at most {MOST_SPREAD_DB:g}"


def _channels_differ(clip: MeasuredRow, limits: Limits) -> Seen | None:
    if clip.row.channel is not None or _one_sided(clip, limits) is not None:
        return None
    return below(
        clip.measure.channel_likeness, LEAST_LIKENESS, "correlation of the levels of channels 0 and 1", 2
    )


def _may_be_off(corpus: Corpus, limits: Limits) -> Mask:
    return np.asarray(np.abs(corpus.measured("offset")) > limits.audit.max_offset)


RULES = (
    warn(
        "channels",
        "More than one channel; the mean of the channels is used.",
        _channels,
        over("num_channels", lambda _: 1.0),
    ),
    drop(
        "channels_differ",
        "The channels hold different sound, as of two people: name the one that says the text in a column channel.",
        _channels_differ,
        under("channel_likeness", lambda _: LEAST_LIKENESS),
    ),
    drop(
        "channels_cancel",
        "The channels are opposite to each other, and their mean is next to nothing: name one in a column channel.",
        _channels_cancel,
        over("channel_loss_db", lambda _: MOST_LOSS_DB),
    ),
    warn(
        "one_sided",
        "One channel is next to empty; the loudest is used alone.",
        _one_sided,
        over("channel_spread_db", lambda _: MOST_SPREAD_DB),
    ),
    warn(
        "integer_scale",
        "A file of floating point numbers that were still in the scale of integers; they are divided when they are read.",
        _integer_scale,
        over("full_scale", lambda _: 1.0),
    ),
    warn(
        "low_level",
        "Recorded too quietly; with audit.correct it is lifted when it is read, and its noise with it.",
        _low_level,
        under("speech_dbfs", lambda audit: audit.min_level_dbfs),
    ),
    warn(
        "offset",
        "The samples are not around zero, which is a fault of the sound card; with audit.correct it is taken off.",
        _offset,
        _may_be_off,
    ),
    warn(
        "hum",
        "Mains hum or rumble is most of what is heard in the pauses; the model learns it as part of the voice.",
        _hum,
        over("hum_share", lambda audit: audit.max_hum_share),
    ),
)
