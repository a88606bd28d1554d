"""The rules of the audit: what makes a row unfit to train on, why, and what happens to it.

A rule sees one row as its owner described it, and what was measured. Rules that compare rows stand in `repeats`.
`drop` keeps a row out of training, `trim` keeps it with other bounds, `warn` only reports it. Thresholds come from `audit` in params.yaml.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from voicelathe import settings
from voicelathe.data import scripts, text
from voicelathe.data.clip import Clip as Clip  # rules and clips are used together
from voicelathe.data.phrases import Phrases
from voicelathe.records import Finding

SHOWN_CHARS = 60
LEAST_JUDGED_S = 0.5
FULL_BAND_HZ = 15_000.0  # MP3 and AAC cut off at 15 to 17.5 kHz, and no voice is muffled by that


@dataclass(frozen=True)
class Limits:
    """What the rules compare with."""

    audit: settings.Audit
    phrases: Phrases


Seen = tuple[str, str]  # the value seen and the threshold, for people
Test = Callable[[Clip, Limits], Seen | None]


@dataclass(frozen=True)
class Rule:
    """One reason to doubt a row. `reason` is the sentence that reports show."""

    code: str
    severity: str  # critical | warning
    action: str  # drop | trim | warn
    reason: str

    def finding(self, clip_id: str, seen: Seen) -> Finding:
        return Finding(clip_id, self.code, self.severity, self.action, *seen)


def drop(code: str, reason: str) -> Rule:
    return Rule(code, "critical", "drop", reason)


def warn(code: str, reason: str) -> Rule:
    return Rule(code, "warning", "warn", reason)


def trim(code: str, reason: str) -> Rule:
    return Rule(code, "warning", "trim", reason)


def judge(clip: Clip, limits: Limits) -> Iterator[Finding]:
    """Every rule that one row breaks, in the order of RULES."""
    for rule, test in (RULES if clip.measure.problem else AUDIBLE).items():
        if seen := test(clip, limits):
            yield rule.finding(clip.row.clip_id, seen)


# --- text ------------------------------------------------------------------------------------------------------------


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


def shown(transcript: str | None) -> str:
    """A transcript for people, its start, with quotes so that an empty one can be seen."""
    if transcript is None:
        return "null"
    cut = transcript if len(transcript) <= SHOWN_CHARS else transcript[:SHOWN_CHARS] + "..."
    return (
        '"'
        + "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in cut)
        + '"'
    )


# --- audio -----------------------------------------------------------------------------------------------------------


def _has_problem(code: str) -> Test:
    return lambda clip, _: (
        (clip.measure.detail or code, "audio that can be read") if clip.measure.problem == code else None
    )


def _too_short(clip: Clip, limits: Limits) -> Seen | None:
    return _below(clip.measure.duration_s, limits.audit.min_duration_s, "s", 3)


def _too_long(clip: Clip, limits: Limits) -> Seen | None:
    return _above(clip.measure.duration_s, limits.audit.max_duration_s, "s", 2)


def _nonfinite(clip: Clip, _: Limits) -> Seen | None:
    return _above(clip.measure.num_nonfinite, 0, "samples", 0)


def _clipped(clip: Clip, limits: Limits) -> Seen | None:
    return _above(clip.measure.clipped_share, limits.audit.max_clipped_share, "of the samples", 4)


def _silent(clip: Clip, limits: Limits) -> Seen | None:
    return _above(clip.inner_silence_share, limits.audit.max_silence_share, "of the clip", 2)


def _no_speech(clip: Clip, limits: Limits) -> Seen | None:
    return None if clip.heard is None or clip.heard.speed is not None else _little_speech(clip, limits)


def _wrong_speed(clip: Clip, limits: Limits) -> Seen | None:
    """Speech at another speed only: a melody or a noise has none at any."""
    if clip.heard is None or clip.heard.speed is None or not _little_speech(clip, limits):
        return None
    return f"speech at {clip.heard.speed:g} times the speed", "speech at the rate of the file"


def _little_speech(clip: Clip, limits: Limits) -> Seen | None:
    """Too little speech for the sound between the edge silences; half a second is the least that is judged."""
    if clip.heard is None or clip.speech_s is None or clip.speech_s < LEAST_JUDGED_S:
        return None
    limit_s = limits.audit.min_speech_share * clip.speech_s
    if clip.heard.speech_s >= limit_s:
        return None
    return (
        f"{clip.heard.speech_s:.2f} s of speech in {clip.speech_s:.2f} s of sound",
        f"at least {limit_s:.2f}",
    )


def _steady(clip: Clip, limits: Limits) -> Seen | None:
    return _below(clip.measure.level_spread_db, limits.audit.min_level_spread_db, "dB", 1)


def _edge_silence(clip: Clip, limits: Limits) -> Seen | None:
    kept = trimmed(clip, limits.audit)
    if kept is None:
        return None
    start_s, end_s = clip.row.start_s or 0.0, (clip.row.start_s or 0.0) + (clip.measure.duration_s or 0.0)
    before_s, after_s = clip.measure.leading_silence_s, clip.measure.trailing_silence_s
    seen = f"{before_s:.2f} s before and {after_s:.2f} s after; {start_s:g} to {end_s:g} s became {kept[0]:g} to {kept[1]:g} s"
    return seen, f"at most {limits.audit.max_edge_silence_s:g}"


def trimmed(clip: Clip, audit: settings.Audit) -> tuple[float, float] | None:
    """Start and end without the edge silence that is too long; None where both edges are within the limit, or all is silent."""
    measured, start_s = clip.measure, clip.row.start_s or 0.0
    before_s, after_s = measured.leading_silence_s, measured.trailing_silence_s
    if clip.speech_s is None or before_s is None or after_s is None or measured.duration_s is None:
        return None
    if max(before_s, after_s) <= audit.max_edge_silence_s:
        return None
    from_s = before_s - audit.kept_edge_silence_s if before_s > audit.max_edge_silence_s else 0.0
    cut_s = after_s - audit.kept_edge_silence_s if after_s > audit.max_edge_silence_s else 0.0
    first_s = round(start_s + from_s, 3) if from_s else start_s  # rounded, it could lie before the row
    return first_s, round(start_s + measured.duration_s - cut_s, 3)


def _band_limited(clip: Clip, limits: Limits) -> Seen | None:
    """A cliff in the spectrum, far below half the sample rate."""
    cutoff_hz, rate_hz = clip.measure.cutoff_hz, clip.measure.file_rate_hz
    if cutoff_hz is None or rate_hz is None:
        return None
    limit_hz = min(limits.audit.min_band_share * rate_hz / 2, FULL_BAND_HZ)
    if cutoff_hz >= limit_hz:
        return None
    return f"nothing above {cutoff_hz:.0f} Hz in a file of {rate_hz} Hz", f"content up to {limit_hz:.0f} Hz"


def _channels(clip: Clip, _: Limits) -> Seen | None:
    return _above(clip.measure.num_channels, 1, "channels", 0)


def _declared_rate(clip: Clip, _: Limits) -> Seen | None:
    declared, real = clip.row.sample_rate_hz, clip.measure.file_rate_hz
    if declared is None or real is None or declared == real:
        return None
    return f"{declared} Hz declared", f"{real} Hz in the file"


def _file_rate(clip: Clip, limits: Limits) -> Seen | None:
    real, allowed = clip.measure.file_rate_hz, limits.audit.sample_rates_hz
    return (
        (f"{real} Hz", f"one of {', '.join(map(str, allowed))}")
        if real is not None and real not in allowed
        else None
    )


def _too_fast(clip: Clip, limits: Limits) -> Seen | None:
    return _above(clip.chars_per_s, limits.audit.max_chars_per_s, "characters/s", 1)


def _too_slow(clip: Clip, limits: Limits) -> Seen | None:
    return _below(clip.chars_per_s, limits.audit.min_chars_per_s, "characters/s", 1)


def _above(value: float | None, limit: float, unit: str, digits: int) -> Seen | None:
    return (
        (f"{value:.{digits}f} {unit}", f"at most {limit:g}") if value is not None and value > limit else None
    )


def _below(value: float | None, limit: float, unit: str, digits: int) -> Seen | None:
    return (
        (f"{value:.{digits}f} {unit}", f"at least {limit:g}") if value is not None and value < limit else None
    )


# --- all of them -----------------------------------------------------------------------------------------------------

UNUSABLE_AUDIO = {
    "missing": "The file is not there, so there is nothing to train on.",
    "outside_root": "The path leaves the audio root; what lies outside was never meant to be read.",
    "absolute_path": "The path is absolute, so the manifest only works on one machine and could name any file.",
    "invalid_path": "The path holds control characters or backslashes, or is too long to be a name.",
    "symlink": "A link below the audio root can point anywhere, and its target can change unnoticed.",
    "not_regular": "A directory, FIFO or device is not a recording.",
    "unsupported_type": "Only WAV, FLAC, Ogg, Opus and MP3 are read, and the name must agree with the content.",
    "unreadable": "The file cannot be opened or decoded.",
    "truncated": "The file ends before its header says it does, so the words at the end are missing.",
    "bad_header": "The header contradicts the file, so what is decoded is not what was recorded.",
    "bad_slice": "Start and end do not lie inside the file, in this order.",
    "over_limit": "Rate, channels or length are beyond what can be decoded safely.",
    "no_samples": "There is no audio between start and end.",
}

RULES: dict[Rule, Test] = {
    drop(
        "empty_text", "Nothing in the transcript can be said: the model learns to speak without words."
    ): _empty_text,
    drop(
        "boilerplate", "A phrase of subtitle files and speech recognisers, which the audio hardly ever says."
    ): _boilerplate,
    drop(
        "wrong_script",
        "The letters are not those the language is written in: another clip's text, or a wrong encoding.",
    ): _wrong_script,
    drop(
        "control_characters", "Control or direction characters have no sound and break tokenisers and pages."
    ): _control_characters,
    drop("long_text", "A transcript this long does not belong to one clip."): _long_text,
    **{drop(code, reason): _has_problem(code) for code, reason in UNUSABLE_AUDIO.items()},
    drop(
        "too_short", "A clip shorter than a syllable carries no speech and makes the losses of a step jump."
    ): _too_short,
    drop(
        "too_long", "A clip longer than the base was trained on does not fit its context or the memory."
    ): _too_long,
    drop("nonfinite", "NaN or infinite samples turn the loss, and then every weight, into NaN."): _nonfinite,
    drop("clipped", "Samples at full scale: the model learns the distortion as part of the voice."): _clipped,
    drop(
        "silent", "Most of the clip between its edges is silence, so the text has nothing to be learned from."
    ): _silent,
    drop(
        "no_speech", "Nobody speaks: music, noise or an empty room with a text that it does not say."
    ): _no_speech,
    drop(
        "wrong_speed",
        "Nobody speaks at the file's own sample rate, but somebody does at another: the header is wrong.",
    ): _wrong_speed,
    drop(
        "steady", "The level hardly moves, as in a hum, a tone or noise; speech has syllables and pauses."
    ): _steady,
    drop(
        "declared_rate",
        "The file has another sample rate than declared; who trusts the manifest hears another pitch.",
    ): _declared_rate,
    drop("file_rate", "A sample rate that no recording is made at points to a wrong header."): _file_rate,
    drop(
        "band_limited",
        "Sampled again at a higher rate than it was recorded at: the model learns a muffled voice.",
    ): _band_limited,
    drop(
        "too_fast", "More text than can be said in this time: the clip is cut, sped up or has another text."
    ): _too_fast,
    drop(
        "too_slow", "Less text than the speech takes: words are missing, or the clip is slowed down."
    ): _too_slow,
    trim(
        "edge_silence",
        "Long silence at an edge teaches the model to start late or not to stop; it is cut off.",
    ): _edge_silence,
    warn("channels", "More than one channel; the mean of the channels is used."): _channels,
}
AUDIBLE = {
    rule: test for rule, test in RULES.items() if rule.code not in UNUSABLE_AUDIO
}  # what a measured clip can break
