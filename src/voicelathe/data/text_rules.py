"""Rules over the text of one row: is there something to say, in the letters of its language, and is it what somebody says?"""

import re

import numpy as np

from voicelathe.data import columns, scripts, text, text_columns
from voicelathe.data.clip import Clip
from voicelathe.data.corpus import Corpus, Mask
from voicelathe.data.rule import SHOWN_CHARS, Limits, Seen, drop, shown


def _empty_text(clip: Clip, _: Limits) -> Seen | None:
    if clip.num_spoken_chars:
        return None
    return shown(clip.row.text), "1 letter or digit"


def _boilerplate(clip: Clip, limits: Limits) -> Seen | None:
    """The phrase, with the evidence beside it: how long the clip is, and how fast the phrase would be said."""
    phrase = limits.phrases.find(clip.row.text) if clip.row.text else None
    if phrase is None:
        return None
    pace = (
        ""
        if clip.chars_per_s is None
        else f" in {clip.measure.duration_s:.2f} s, {clip.chars_per_s:.1f} characters/s"
    )
    return f"{phrase}{pace}", limits.audit.phrases


def _wrong_script(clip: Clip, limits: Limits) -> Seen | None:
    wanted = scripts.expected(clip.row.language)
    share = scripts.share(clip.row.text or "", wanted) if wanted else None
    if wanted is None or share is None or share >= limits.audit.min_script_share:
        return None
    found = ", ".join(scripts.names(clip.row.text or "")[:3]).lower()
    return f"{found}: {shown(clip.row.text)}", f"{clip.row.language} in {' or '.join(wanted).lower()}"


def _control_characters(clip: Clip, _: Limits) -> Seen | None:
    found = text.controls(clip.row.text or "")
    return (", ".join(found)[:SHOWN_CHARS], "none") if found else None


def _long_text(clip: Clip, limits: Limits) -> Seen | None:
    length, limit = len(clip.row.text or ""), limits.audit.max_text_chars
    return (f"{length} characters", f"at most {limit}") if length > limit else None


# --- which rows may break them ---------------------------------------------------------------------------------------


def _not_simple(corpus: Corpus) -> Mask:
    """Whatever is not plain ASCII, or null, is looked at by every rule of this file."""
    return ~np.asarray(text_columns.is_simple(corpus.rows["text"]).to_numpy())


def _may_be_empty(corpus: Corpus, _: Limits) -> Mask:
    return np.asarray(corpus.num_spoken_chars == 0, bool)


def _may_be_boilerplate(corpus: Corpus, limits: Limits) -> Mask:
    import pyarrow.compute as pc

    found = _not_simple(corpus)
    found |= columns.mask(pc.match_substring_regex(corpus.rows["text"], text.TAG.pattern))
    found |= columns.mask(pc.is_in(corpus.words, columns.strings(limits.phrases.whole)))
    if limits.phrases.anywhere:
        anywhere = "|".join(map(re.escape, limits.phrases.anywhere))
        found |= columns.mask(pc.match_substring_regex(corpus.words, anywhere))
    return found


def _may_be_in_wrong_script(corpus: Corpus, _: Limits) -> Mask:
    import pyarrow.compute as pc

    wanted = {name: scripts.expected(name) for name in corpus.rows["language"].unique().to_pylist()}
    foreign = [name for name, some in wanted.items() if some is not None and "LATIN" not in some]
    is_foreign = columns.mask(pc.is_in(corpus.rows["language"], columns.strings(foreign)))
    return np.asarray(_not_simple(corpus) | is_foreign)


def _may_hold_controls(corpus: Corpus, _: Limits) -> Mask:
    return _not_simple(corpus)


def _may_be_long(corpus: Corpus, limits: Limits) -> Mask:
    import pyarrow.compute as pc

    return np.asarray(columns.numbers(pc.utf8_length(corpus.rows["text"])) > limits.audit.max_text_chars)


RULES = (
    drop(
        "empty_text",
        "Nothing in the transcript can be said: the model learns to speak without words.",
        _empty_text,
        _may_be_empty,
    ),
    drop(
        "boilerplate",
        "A phrase of subtitle files and speech recognisers, which the audio hardly ever says.",
        _boilerplate,
        _may_be_boilerplate,
    ),
    drop(
        "wrong_script",
        "The letters are not those the language is written in: another clip's text, or a wrong encoding.",
        _wrong_script,
        _may_be_in_wrong_script,
    ),
    drop(
        "control_characters",
        "Control or direction characters have no sound and break tokenisers and pages.",
        _control_characters,
        _may_hold_controls,
    ),
    drop("long_text", "A transcript this long does not belong to one clip.", _long_text, _may_be_long),
)
