"""The audit: every row is judged, and what is dropped goes to the quarantine with all of its reasons.

Clean and quarantined rows and rejected lines add up to the lines of the raw manifest.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe.config import schema
from voicelathe.data import columns, corpus, mapped, tables
from voicelathe.data.audit import coverage, rules
from voicelathe.data.audit.contamination import closed_form
from voicelathe.data.audit.coverage import Coverage
from voicelathe.data.audit.rules import Limits, MeasuredRow, letters, outliers, repeats
from voicelathe.data.audit.rules import level as level_rules
from voicelathe.data.audit.rules.repeats import Alike
from voicelathe.data.columns import Rows, Table
from voicelathe.data.corpus import Corpus, Mask
from voicelathe.data.text import beginnings
from voicelathe.data.text.phrases import Phrases
from voicelathe.records import CleanClip, Finding, Link, Quarantined, RejectedLine

LIFTED_DBFS, MOST_PEAK_DBFS = (
    -20.0,
    -3.0,
)  # of the loudest tenth of a second of a clip that was too quiet; of its peak
QUARANTINED = ["line", "clip_id", "user_id", "audio", "text"]
ROWS_AT_ONCE = 1 << 12  # records of suspects in memory
STEP_CLIPS = 8  # of the contamination figure in the summary: a usual batch
SELDOM_JUDGED = (
    "no_speech",
    "odd_pace",
    "wrong_text",
    "wrong_speaker",
)  # of all rows: they need a model, or many rows
ALL_RULES = (*rules.RULES, *letters.OF_LANGUAGES, *beginnings.RULES, *outliers.RULES, *repeats.RULES)
DROPPING = [
    rule.code for rule in ALL_RULES if rule.action == "drop" and rule.code not in rules.UNUSABLE_AUDIO
]


@dataclass(frozen=True)
class AuditResult:
    """What the audit found. `corpus` are all rows, in the order of the manifest."""

    corpus: Corpus
    findings: list[Finding]
    rejected: list[RejectedLine]
    is_bad: Mask = field(compare=False)  # of every row: it is dropped
    kept: Table  # columns of CleanClip
    links: list[Link]
    quarantine: "Quarantine"
    coverage: list[Coverage]

    @property
    def clean(self) -> list[CleanClip]:
        """A record for each row that is kept."""
        return columns.rows_of(self.kept, CleanClip)


def audit(
    rows: Rows,
    rejected: Sequence[RejectedLine],
    measures: Rows,
    limits: schema.Audit,
    phrases: Phrases,
    heard: Rows = (),
) -> AuditResult:
    """Judge every row; without `heard` the rules that need a model stay silent. Raises RecordError when the measures are of other rows."""
    found = corpus.of(rows, measures, heard)
    del rows, measures, heard  # hundreds of bytes a row, where nobody else holds them
    own = _alone(found, Limits(limits, phrases))
    own += letters.judge(found)
    own += beginnings.judge(found)
    bad = _bad(found, own)
    distances = outliers.pace_distances(found, bad)
    odd = np.flatnonzero(outliers.suspects(found, distances, limits))
    own += outliers.judge(found.clips(odd), dropped(own), limits, distances[odd])
    bad = _bad(found, own)
    alike = repeats.alike(found, bad, limits)
    several = found.clips(repeats.suspects(found, bad, alike))
    findings = [*own, *repeats.judge(several, dropped(own), limits, alike)]
    links = _links(several, dropped(own), alike)
    bad = _bad(found, findings)
    ordered = _in_order(found, of_use(findings))
    return AuditResult(
        corpus=found,
        findings=ordered,
        rejected=list(rejected),
        is_bad=bad,
        kept=_kept(found, ~bad, limits),
        links=links,
        quarantine=Quarantine(
            columns.gather(found.rows.select(QUARANTINED), np.flatnonzero(bad)), rejected, ordered
        ),
        coverage=coverage.of(found, distances),
    )


def _alone(found: Corpus, limits: Limits) -> list[Finding]:
    """What rows break by themselves; of the suspects, some at a time are records."""
    places = np.flatnonzero(rules.suspects(found, limits))
    batches = (found.clips(places[at : at + ROWS_AT_ONCE]) for at in range(0, len(places), ROWS_AT_ONCE))
    return [finding for clips in batches for clip in clips for finding in rules.judge(clip, limits)]


def _bad(found: Corpus, findings: Iterable[Finding]) -> Mask:
    """The rows that some finding drops."""
    import pyarrow.compute as pc

    return np.array(pc.is_in(found.rows["clip_id"], columns.strings(dropped(findings))).to_numpy())


def of_use(findings: Sequence[Finding]) -> list[Finding]:
    """Without what was trimmed of rows that are dropped: nothing was, and where a header lies, the seconds are none."""
    bad = dropped(findings)
    return [one for one in findings if one.action != "trim" or one.clip_id not in bad]


def dropped(findings: Iterable[Finding]) -> set[str]:
    """Ids of the clips that a rule drops."""
    return {finding.clip_id for finding in findings if finding.action == "drop"}


def _links(clips: Iterable[MeasuredRow], bad: set[str], alike: Iterable[Alike]) -> list[Link]:
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


def _kept(found: Corpus, chosen: Mask, limits: schema.Audit) -> Table:
    """What later stages need to know about the clips that may be trained on, within their bounds after trimming.

    `samples_sha256` stays that of the whole row: it is what other rows are compared with.
    """
    at = np.flatnonzero(chosen)
    starts = np.nan_to_num(columns.numbers(found.rows["start_s"]))[at]
    ends = _rounded(starts + found.measured("duration_s")[at])
    edges = np.maximum(found.measured("leading_silence_s"), found.measured("trailing_silence_s"))[at]
    long = np.flatnonzero(edges > limits.max_edge_silence_s)
    for place, clip in zip(long.tolist(), found.clips(at[long]), strict=True):
        starts[place], ends[place] = rules.trimmed(clip, limits) or (starts[place], ends[place])
    made = {"start_s": starts, "end_s": ends, "duration_s": _rounded(ends - starts)}
    made |= {name: some[at] for name, some in corrections(found, limits).items()}
    parts = (_kept_piece(found, at, made, start) for start in range(0, len(at), columns.ROWS_AT_ONCE))
    return mapped.table((batch for part in parts for batch in part.to_batches()), tables.schema(CleanClip))


def _kept_piece(found: Corpus, at: NDArray[np.int64], made: Mapping[str, Any], start: int) -> Table:
    """Some of the rows that are kept, with what was made of all of them."""
    import pyarrow

    schema = tables.schema(CleanClip)
    here = slice(start, start + columns.ROWS_AT_ONCE)
    own = [name for name in schema.names if name in found.rows.column_names and name not in made]
    rows = columns.take(found.rows.select(own), at[here])
    held = {name: rows[name] for name in own}
    held |= {
        name: pyarrow.array(some[here], pyarrow.float64(), from_pandas=True) for name, some in made.items()
    }
    held |= {
        "samples_sha256": columns.take(found.measures.select(["samples_sha256"]), at[here])["samples_sha256"]
    }
    table = pyarrow.table(held).select(schema.names).cast(schema)
    needed = ("text", "audio_sha256", "samples_sha256")
    assert not any(table[name].null_count for name in needed), "a clean clip has text and audio"
    return table


def _rounded(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """To microseconds as Python rounds, which numpy does not do to the last digit."""
    return np.fromiter((round(one, 6) for one in seconds.tolist()), np.float64, len(seconds))


def corrections(found: Corpus, limits: schema.Audit) -> dict[str, NDArray[Any]]:
    """Channel, offset and gain with which the audio of every row is read for training; NaN for all channels."""
    named = columns.numbers(found.rows["channel"])
    is_one_sided = found.measured("channel_spread_db") > level_rules.MOST_SPREAD_DB
    channel = np.where(np.isnan(named) & is_one_sided, found.measured("loudest_channel"), named)
    offset, level = found.measured("offset"), found.measured("speech_dbfs")
    # The offset and level that were measured are of the mean of the channels.
    is_measured = limits.correct & (np.isnan(channel) | ~np.isnan(named))
    is_off = is_measured & (np.abs(offset) > limits.max_offset)
    gain_db = np.minimum(LIFTED_DBFS - level, MOST_PEAK_DBFS - found.measured("peak_dbfs"))
    is_low = is_measured & (level < limits.min_level_dbfs) & (gain_db > 0)
    return {
        "channel": channel,
        "offset": np.where(is_off, offset, 0.0),
        "gain_db": np.where(is_low, np.round(gain_db, 1), 0.0),
    }


def summary(found: AuditResult) -> dict[str, float | int]:
    """Flat metrics for `dvc metrics`, always the same keys; a row that breaks two rules counts for both."""
    num_lines = len(found.corpus) + len(found.rejected)
    num_dropped = len(found.quarantine)
    hits = Counter(finding.rule for finding in found.findings)
    return {
        "rows": num_lines,
        "kept": len(found.kept),
        "dropped": num_dropped,
        "dropped_share": round(num_dropped / num_lines, 6),
        "dropped_not_a_row": len(found.rejected),
        "dropped_unusable_audio": sum(hits[code] for code in rules.UNUSABLE_AUDIO),
        **{f"dropped_{code}": hits[code] for code in DROPPING},
        **{f"trimmed_{rule.code}": hits[rule.code] for rule in ALL_RULES if rule.action == "trim"},
        **{f"warned_{rule.code}": hits[rule.code] for rule in ALL_RULES if rule.action == "warn"},
        **{f"judged_{one.code}": one.num_judged for one in found.coverage if one.code in SELDOM_JUDGED},
        "minutes_before": round(
            math.fsum(np.nan_to_num(found.corpus.measured("duration_s")).tolist()) / 60, 3
        ),
        "minutes_kept": round(math.fsum(found.kept["duration_s"].to_pylist()) / 60, 3),
        f"bad_share_of_steps_of_{STEP_CLIPS}": round(closed_form(num_dropped / num_lines, STEP_CLIPS), 6),
    }


def _in_order(found: Corpus, findings: Sequence[Finding]) -> list[Finding]:
    """By line of the manifest, then by rule."""
    import pyarrow
    import pyarrow.compute as pc

    ids = pyarrow.array([finding.clip_id for finding in findings], pyarrow.string())
    line = pc.index_in(ids, found.rows["clip_id"]).to_numpy(zero_copy_only=False)
    place = {rule.code: number for number, rule in enumerate(ALL_RULES)}
    order = np.lexsort(([place[finding.rule] for finding in findings], line))
    return [findings[at] for at in order.tolist()]


@dataclass(frozen=True)
class Quarantine(Sequence[Quarantined]):
    """The rows that are dropped and the lines that are none, by line; each is made when somebody looks at it."""

    rows: Table  # line, clip_id, user_id, audio and text of the rows that are dropped, in the order of the manifest
    rejected: Sequence[RejectedLine]
    findings: Sequence[Finding]  # in the order of the manifest

    def __len__(self) -> int:
        return len(self.rows) + len(self.rejected)

    def __getitem__(self, at: Any) -> Any:
        return list(self)[at]

    def __iter__(self) -> Iterator[Quarantined]:
        lines = [
            Quarantined(one.line, None, None, None, None, [one.problem], [f"{one.detail}: {one.excerpt}"])
            for one in self.rejected
        ]
        yield from heapq.merge(self._dropped(), sorted(lines, key=_line), key=_line)

    def _dropped(self) -> Iterator[Quarantined]:
        following = groupby(self.findings, key=lambda finding: finding.clip_id)
        for _, piece in columns.pieces(self.rows):
            for line, clip_id, user_id, audio, text in zip(
                *(piece[name].to_pylist() for name in QUARANTINED), strict=True
            ):
                own = next(list(some) for name, some in following if name == clip_id)
                reasons = [finding.rule for finding in own]
                details = [f"{finding.value} ({finding.threshold})" for finding in own]
                yield Quarantined(line, clip_id, user_id, audio, text, reasons, details)


def _line(one: Quarantined) -> int:
    return one.line
