"""The audit: every row is judged, and what is dropped goes to the quarantine with all of its reasons.

Clean and quarantined rows and rejected lines add up to the lines of the raw manifest.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voicelathe import settings
from voicelathe.data import outliers, repeats, rules
from voicelathe.data.contamination import closed_form
from voicelathe.data.phrases import Phrases
from voicelathe.data.repeats import Alike
from voicelathe.data.rules import Clip, Limits
from voicelathe.errors import RecordError
from voicelathe.records import (
    CleanClip,
    ClipMeasure,
    Finding,
    Heard,
    Link,
    ManifestRow,
    Quarantined,
    RejectedLine,
)

STEP_CLIPS = 8  # of the contamination figure in the summary: a usual batch
ALL_RULES = (*rules.RULES, *outliers.RULES, *repeats.RULES)
DROPPING = [
    rule.code for rule in ALL_RULES if rule.action == "drop" and rule.code not in rules.UNUSABLE_AUDIO
]


@dataclass(frozen=True)
class Audit:
    """What the audit found. `clips` are all rows, in the order of the manifest."""

    clips: list[Clip]
    findings: list[Finding]
    rejected: list[RejectedLine]
    clean: list[CleanClip]
    links: list[Link]
    quarantine: list[Quarantined]


def audit(
    rows: Sequence[ManifestRow],
    rejected: Sequence[RejectedLine],
    measures: Iterable[ClipMeasure],
    limits: settings.Audit,
    phrases: Phrases,
    heard: Iterable[Heard] = (),
) -> Audit:
    """Judge every row; without `heard` the rules that need a model stay silent. Raises RecordError when the measures are of other rows."""
    clips = _joined(rows, measures, heard)
    own = [finding for clip in clips for finding in rules.judge(clip, Limits(limits, phrases))]
    own += outliers.judge(clips, dropped(own), limits)
    alike = repeats.alike(clips, dropped(own), limits)
    findings = _in_order(clips, [*own, *repeats.judge(clips, dropped(own), limits, alike)])
    bad = dropped(findings)
    return Audit(
        clips=clips,
        findings=findings,
        rejected=list(rejected),
        clean=[clean_clip(clip, limits) for clip in clips if clip.row.clip_id not in bad],
        links=_links(clips, dropped(own), alike),
        quarantine=_quarantine([clip for clip in clips if clip.row.clip_id in bad], rejected, findings),
    )


def dropped(findings: Iterable[Finding]) -> set[str]:
    """Ids of the clips that a rule drops."""
    return {finding.clip_id for finding in findings if finding.action == "drop"}


def _links(clips: Iterable[Clip], bad: set[str], alike: Iterable[Alike]) -> list[Link]:
    """Recordings with sound clips of the same performance. The copies are dropped; the recordings are still of one session."""
    first_with: dict[str, str] = {}
    found: set[tuple[str, str, str]] = set()
    for clip in clips:
        if clip.row.clip_id not in bad and clip.measure.samples_sha256:
            here = clip.row.recording_id
            found.add(
                (*_pair(here, first_with.setdefault(clip.measure.samples_sha256, here)), "exact_duplicate")
            )
    for pair in alike:
        if not {pair.first.row.clip_id, pair.second.row.clip_id} & bad:
            found.add((*_pair(pair.first.row.recording_id, pair.second.row.recording_id), "near_duplicate"))
    exact = {(one, other) for one, other, why in found if why == "exact_duplicate"}
    return [
        Link(one, other, why)
        for one, other, why in sorted(found)
        if one != other and not (why == "near_duplicate" and (one, other) in exact)
    ]


def _pair(one: str, other: str) -> tuple[str, str]:
    return min(one, other), max(one, other)


def clean_clip(clip: Clip, limits: settings.Audit) -> CleanClip:
    """What later stages need to know about a clip that may be trained on, within its bounds after trimming.

    `samples_sha256` stays that of the whole row: it is what other rows are compared with.
    """
    row, measured = clip.row, clip.measure
    assert row.text and row.audio_sha256 and measured.samples_sha256 and measured.duration_s, (
        "a clean clip has text and audio"
    )
    start_s = row.start_s or 0.0
    bounds = rules.trimmed(clip, limits) or (start_s, round(start_s + measured.duration_s, 6))
    return CleanClip(
        clip_id=row.clip_id,
        audio=row.audio,
        start_s=bounds[0],
        end_s=bounds[1],
        text=row.text,
        recording_id=row.recording_id,
        speaker_id=row.speaker_id,
        language=row.language,
        audio_sha256=row.audio_sha256,
        samples_sha256=measured.samples_sha256,
        duration_s=round(bounds[1] - bounds[0], 6),
        ref_audio=row.ref_audio,
    )


def summary(found: Audit) -> dict[str, float | int]:
    """Flat metrics for `dvc metrics`, always the same keys; a row that breaks two rules counts for both."""
    num_lines = len(found.clips) + len(found.rejected)
    num_dropped = len(found.quarantine)
    hits = Counter(finding.rule for finding in found.findings)
    return {
        "rows": num_lines,
        "kept": len(found.clean),
        "dropped": num_dropped,
        "dropped_share": round(num_dropped / num_lines, 6),
        "dropped_not_a_row": len(found.rejected),
        "dropped_unusable_audio": sum(hits[code] for code in rules.UNUSABLE_AUDIO),
        **{f"dropped_{code}": hits[code] for code in DROPPING},
        **{f"trimmed_{rule.code}": hits[rule.code] for rule in ALL_RULES if rule.action == "trim"},
        **{f"warned_{rule.code}": hits[rule.code] for rule in ALL_RULES if rule.action == "warn"},
        "minutes_before": round(sum(clip.measure.duration_s or 0.0 for clip in found.clips) / 60, 3),
        "minutes_kept": round(sum(clip.duration_s for clip in found.clean) / 60, 3),
        f"bad_share_of_steps_of_{STEP_CLIPS}": round(closed_form(num_dropped / num_lines, STEP_CLIPS), 6),
    }


def _joined(
    rows: Sequence[ManifestRow], measures: Iterable[ClipMeasure], heard: Iterable[Heard]
) -> list[Clip]:
    by_id = {measure.clip_id: measure for measure in measures}
    if len(by_id) != len(rows) or any(row.clip_id not in by_id for row in rows):
        raise RecordError("data/measured/clips.parquet is not of these rows. Run: dvc repro measure")
    known = {one.clip_id: one for one in heard}
    return [
        Clip(row, by_id[row.clip_id], known.get(row.clip_id))
        for row in sorted(rows, key=lambda row: row.line)
    ]


def _in_order(clips: Sequence[Clip], findings: Iterable[Finding]) -> list[Finding]:
    """By line of the manifest, then by rule."""
    line = {clip.row.clip_id: clip.row.line for clip in clips}
    place = {rule.code: number for number, rule in enumerate(ALL_RULES)}
    return sorted(findings, key=lambda finding: (line[finding.clip_id], place[finding.rule]))


def _quarantine(
    bad: Iterable[Clip], rejected: Iterable[RejectedLine], findings: Iterable[Finding]
) -> list[Quarantined]:
    by_clip: dict[str, list[Finding]] = {}
    for finding in findings:
        by_clip.setdefault(finding.clip_id, []).append(finding)
    rows = [
        Quarantined(
            line=clip.row.line,
            clip_id=clip.row.clip_id,
            user_id=clip.row.user_id,
            audio=clip.row.audio,
            text=clip.row.text,
            reasons=[finding.rule for finding in by_clip[clip.row.clip_id]],
            details=[f"{finding.value} ({finding.threshold})" for finding in by_clip[clip.row.clip_id]],
        )
        for clip in bad
    ]
    lines = [
        Quarantined(one.line, None, None, None, None, [one.problem], [f"{one.detail}: {one.excerpt}"])
        for one in rejected
    ]
    return sorted([*rows, *lines], key=lambda one: one.line)
