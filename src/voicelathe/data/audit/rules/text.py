"""Rules over the text of one row: is there something to say, in the letters of its language, and is it what somebody says?"""

import re

import numpy as np

from voicelathe.data import columns
from voicelathe.data.audit.rule import SHOWN_CHARS, Limits, Seen, drop, shown, warn
from voicelathe.data.clip import MeasuredRow
from voicelathe.data.corpus import Corpus, Mask
from voicelathe.data.text import characters, charsets, markup, normaliser, scripts

# "Thank you." is said in 0.55 to 0.96 s by five professional speakers (benchmarks/real_speech.py), 8 to 15 letters a second.
SAID_FASTEST, SAID_SLOWEST, SAID_FIXED_S = 28.0, 8.0, 0.5
LEAST_OF_MIXED = 0.2  # of the letters, where the others are of names in Latin letters
SAID_UNHEARD_S = 1.0  # of less sound a voice activity detector says too little


def _empty_text(clip: MeasuredRow, _: Limits) -> Seen | None:
    if clip.num_spoken_chars:
        return None
    return shown(clip.row.text), "1 letter or digit"


def _boilerplate(clip: MeasuredRow, limits: Limits) -> Seen | None:
    """A phrase, unless everything speaks for it being said."""
    phrase = limits.phrases.find(clip.row.text) if clip.row.text else None
    return None if phrase is None or _is_said(clip, phrase) else _with_evidence(clip, phrase, limits)


def _boilerplate_said(clip: MeasuredRow, limits: Limits) -> Seen | None:
    phrase = limits.phrases.find(clip.row.text) if clip.row.text else None
    return None if phrase is None or not _is_said(clip, phrase) else _with_evidence(clip, phrase, limits)


def _is_said(clip: MeasuredRow, phrase: str) -> bool:
    """Whether it is a whole text that people say ("=thank you"), in the time that it takes, and speech was heard for that long."""
    if not phrase.startswith("=") or clip.speech_s is None:
        return False
    fewest, most = clip.num_letters
    shortest_s, longest_s = fewest / SAID_FASTEST, SAID_FIXED_S + most / SAID_SLOWEST
    is_heard = clip.heard is None or clip.speech_s < SAID_UNHEARD_S or clip.heard.speech_s >= shortest_s
    return shortest_s <= clip.speech_s <= longest_s and is_heard


def _with_evidence(clip: MeasuredRow, phrase: str, limits: Limits) -> Seen:
    """The phrase, with the evidence beside it: how long the clip is, and how fast the phrase would be said."""
    pace = (
        ""
        if clip.chars_per_s is None
        else f" in {clip.measure.duration_s:.2f} s, {clip.chars_per_s:.1f} characters/s"
    )
    return f"{phrase}{pace}", limits.audit.phrases


def _wrong_script(clip: MeasuredRow, limits: Limits) -> Seen | None:
    wanted = scripts.expected(clip.row.language)
    share = scripts.share(clip.row.text or "", wanted) if wanted else None
    if wanted is None or share is None or share >= limits.audit.min_script_share:
        return None
    if share >= LEAST_OF_MIXED and scripts.is_mixed(clip.row.text or "", wanted):
        return None  # a foreign name in a short sentence
    found = ", ".join(scripts.names(clip.row.text or "")[:3]).lower()
    return f"{found}: {shown(clip.row.text)}", f"{clip.row.language} in {' or '.join(wanted).lower()}"


def _replacement_character(clip: MeasuredRow, _: Limits) -> Seen | None:
    num = (clip.row.text or "").count(markup.REPLACEMENT)
    if not num and markup.LOST.search(clip.row.text or ""):
        return f"question marks in the place of letters: {shown(clip.row.text)}", "none"
    return (f"{num} of them: {shown(clip.row.text)}", "none") if num else None


def _double_encoding(clip: MeasuredRow, _: Limits) -> Seen | None:
    """Of the text as it was written: half a letter may look like a space, which the normaliser takes off."""
    text = clip.written or clip.row.text or ""
    found = None if text.isascii() else markup.encoded_twice(text)
    if found is None and (other := charsets.meant(text, clip.row.language)) is not None:
        found = f"{shown(text)} for {shown(other[1])}, read as {other[0]}"
    return (found, "UTF-8, read as UTF-8") if found else None


def _markup(clip: MeasuredRow, _: Limits) -> Seen | None:
    found = markup.find(clip.row.text or "")
    if found is None and (meant := markup.swallowed(clip.written or clip.row.text or "")) is not None:
        found = f"an escape in the place of a backslash and a letter: {meant}"
    return (found, "words only") if found else None


def _phonemes(clip: MeasuredRow, _: Limits) -> Seen | None:
    found = markup.phonemes(clip.row.text or "", clip.row.language)
    return (found, "letters of the language") if found else None


def _normalised(clip: MeasuredRow, _: Limits) -> Seen | None:
    if clip.written is None or clip.written == clip.row.text or not clip.num_spoken_chars:
        return None
    changed = normaliser.normalise(clip.written)[1]
    return (", ".join(changed), f"normaliser {normaliser.VERSION}") if changed != ["spaces"] else None


def _control_characters(clip: MeasuredRow, _: Limits) -> Seen | None:
    found = characters.controls(clip.row.text or "")
    return (", ".join(found)[:SHOWN_CHARS], "none") if found else None


def _long_text(clip: MeasuredRow, limits: Limits) -> Seen | None:
    length, limit = len(clip.row.text or ""), limits.audit.max_text_chars
    return (f"{length} characters", f"at most {limit}") if length > limit else None


# --- which rows may break them ---------------------------------------------------------------------------------------


def _not_simple(corpus: Corpus) -> Mask:
    """Whatever is not plain ASCII, or null, is looked at by every rule of this file."""
    return ~corpus.is_simple


def _may_be_empty(corpus: Corpus, _: Limits) -> Mask:
    return np.asarray(corpus.num_spoken_chars == 0, bool)


def _may_be_boilerplate(corpus: Corpus, limits: Limits) -> Mask:
    import pyarrow.compute as pc

    found = _not_simple(corpus)
    found |= columns.mask(pc.match_substring_regex(corpus.rows["text"], characters.TAG.pattern))
    found |= columns.mask(pc.is_in(corpus.words, columns.strings(limits.phrases.whole)))
    if limits.phrases.anywhere:
        anywhere = "|".join(map(re.escape, limits.phrases.anywhere))
        found |= columns.mask(pc.match_substring_regex(corpus.words, anywhere))
    return found


def _may_hold_markup(corpus: Corpus, _: Limits) -> Mask:
    import pyarrow.compute as pc

    is_odd = pc.match_substring_regex(corpus.rows["text"], markup.MAY_BE_MARKUP)
    return np.asarray(_not_simple(corpus) | columns.mask(is_odd))


def _may_be_phonemes(corpus: Corpus, _: Limits) -> Mask:
    import pyarrow.compute as pc

    is_odd = pc.match_substring_regex(corpus.rows["text"], markup.MAY_BE_PHONEMES)
    return np.asarray(_not_simple(corpus) | columns.mask(is_odd))


def _may_be_changed(corpus: Corpus, _: Limits) -> Mask:
    import pyarrow.compute as pc

    return np.asarray(columns.mask(pc.not_equal(corpus.written, corpus.rows["text"])))


def _may_have_lost_letters(corpus: Corpus, _: Limits) -> Mask:
    import pyarrow.compute as pc

    is_odd = pc.match_substring_regex(corpus.rows["text"], markup.MAY_BE_LOST)
    return np.asarray(_not_simple(corpus) | columns.mask(is_odd))


def _not_ascii(corpus: Corpus, _: Limits) -> Mask:
    return _not_simple(corpus)


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
    warn(
        "boilerplate_said",
        "A phrase of subtitle files that is a whole text, but in the time that it takes to say it: kept, listen to it.",
        _boilerplate_said,
        _may_be_boilerplate,
    ),
    drop(
        "replacement_character",
        "U+FFFD, or a question mark inside words, stands where a character was lost in a wrong decoding; nobody can say it.",
        _replacement_character,
        _may_have_lost_letters,
    ),
    drop(
        "double_encoding",
        "UTF-8 that was read as another encoding: the letters are not those that are said.",
        _double_encoding,
        _not_ascii,
    ),
    drop(
        "markup",
        "Markup of another trainer, of subtitles or of SSML, which nobody says and the model would learn to say.",
        _markup,
        _may_hold_markup,
    ),
    drop(
        "phonemes",
        "A phonetic alphabet instead of letters: a base that reads text takes its signs for words.",
        _phonemes,
        _may_be_phonemes,
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
    warn(
        "normalised",
        "The text held what is not read, and was normalised; what is trained on is the normalised text.",
        _normalised,
        _may_be_changed,
    ),
    drop("long_text", "A transcript this long does not belong to one clip.", _long_text, _may_be_long),
)
