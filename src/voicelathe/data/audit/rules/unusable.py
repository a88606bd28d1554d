"""Rules over files: audio that cannot be read, or not safely, or not as what the row says. The codes are those of the measuring."""

import numpy as np

from voicelathe.data import columns
from voicelathe.data.audit.rule import Judge, Limits, MayBreak, drop
from voicelathe.data.corpus import Corpus, Mask


def _has_problem(code: str) -> Judge:
    return lambda clip, _: (
        (clip.measure.detail or code, "audio that can be read") if clip.measure.problem == code else None
    )


def _may_have_problem(code: str) -> MayBreak:
    def mask(corpus: Corpus, _: Limits) -> Mask:
        import pyarrow.compute as pc

        return np.asarray(columns.mask(pc.equal(corpus.measures["problem"], code)))

    return mask


UNUSABLE_AUDIO = {
    "missing": "The file is not there, so there is nothing to train on.",
    "outside_root": "The path leaves the audio root; what lies outside was never meant to be read.",
    "absolute_path": "The path is absolute, so the manifest only works on one machine and could name any file.",
    "invalid_path": "The path holds control characters or backslashes, or is too long to be a name.",
    "symlink": "A link below the audio root can point anywhere, and its target can change unnoticed.",
    "not_regular": "A directory, FIFO or device is not a recording.",
    "unsupported_type": "Only WAV, FLAC, Ogg, Opus and MP3 are read, and the name must agree with the content.",
    "unreadable": "The file cannot be opened or decoded.",
    "truncated": "Less audio could be decoded than the file itself says it holds, so the words at the end are missing.",
    "another_stream": "Behind the first stream lies another of another rate or number of channels, which nothing plays after it.",
    "bad_header": "The header contradicts the file, so what is decoded is not what was recorded.",
    "bad_slice": "Start and end do not lie inside the file, in this order.",
    "over_limit": "Rate, channels or length are beyond what can be decoded safely.",
    "no_samples": "There is no audio between start and end.",
    "no_channel": "The file does not have the channel that the row names.",
}


RULES = tuple(
    drop(code, reason, _has_problem(code), _may_have_problem(code)) for code, reason in UNUSABLE_AUDIO.items()
)
