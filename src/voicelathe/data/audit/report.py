"""The audit as a page: what was dropped, why, what that would have done to a training run, and what is left."""

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from voicelathe import digest, records
from voicelathe.data import columns
from voicelathe.data.audit import clean, report_coverage, rules
from voicelathe.data.audit.clean import AuditResult
from voicelathe.data.audit.contamination import closed_form
from voicelathe.data.audit.rules import MeasuredRow, Rule
from voicelathe.data.corpus import Floats
from voicelathe.data.page import bar, cards, counted, escape, histogram, page, percent, table
from voicelathe.records import Finding, RejectedLine

NUM_EXAMPLES = 20
MAX_DOWNLOAD_BYTES = 900_000
STEP_SIZES = (1, 4, 8, 16, 32)
NOT_A_ROW = "not_a_row"
OFFERS = {"too_long": "<p>To cut them at pauses: <code>voicelathe cut long --name NAME</code>.</p>"}
DURATION_EDGES = [round(0.25 * at, 2) for at in range(25)]
PACE_EDGES = [float(2 * at) for at in range(21)]
SHARE_EDGES = [round(0.05 * at, 2) for at in range(21)]
LEVEL_EDGES = [-50 + 2.5 * at for at in range(21)]


def render(found: AuditResult, sounds: Mapping[str, bytes] | None = None) -> str:
    """The page; `sounds` are the examples that can be played, by clip id (`players.sounds`). The same audit gives the same bytes."""
    parts = [
        _headline(found),
        _contamination(found),
        _rules(found),
        _charts(found),
        report_coverage.coverage(found),
        _kept(found),
        report_coverage.characters(found),
        _examples(found, sounds or {}),
        _download(found),
        report_coverage.silent_rules(found),
    ]
    return page("Data audit", "\n".join(parts))


def _headline(found: AuditResult) -> str:
    figures = clean.summary(found)
    lines, kept, dropped = int(figures["rows"]), len(found.kept), len(found.quarantine)
    recordings = found.kept["recording_id"].unique()
    return (
        "<h1>What is in the raw manifest</h1>"
        f"<p>{report_coverage.looked_at(found, lines)} What is dropped stays in <code>quarantine.jsonl</code> with all of its reasons; "
        "no file was changed. Texts were normalised, edges trimmed and levels corrected where a rule below says so.</p>"
        + cards(
            [
                (str(lines), "lines in the raw manifest"),
                (str(kept), f"rows kept, {percent(kept / lines)}"),
                (str(dropped), f"dropped, {percent(dropped / lines)}"),
                (f"{figures['minutes_kept']:.1f} min", f"of audio kept, of {figures['minutes_before']:.1f}"),
                (str(len(recordings)), "source recordings with kept rows"),
            ]
        )
    )


def _contamination(found: AuditResult) -> str:
    share = len(found.quarantine) / (len(found.corpus) + len(found.rejected))
    rows = [
        [str(size), percent(closed_form(share, size)), bar(closed_form(share, size), "lost")]
        for size in STEP_SIZES
    ]
    return (
        "<h2>What this manifest would have done</h2>"
        f"<p>With {percent(share)} bad rows, drawn at random, a training step of N clips holds at least one of them with probability "
        "1 \u2212 (1 \u2212 p)<sup>N</sup>. The loss of such a step says little about the model. <code>voicelathe contamination</code> names the very steps of each recipe.</p>"
        + table(
            "Steps that meet at least one bad row",
            ["Clips in a step", "Bad steps", ""],
            rows,
            numeric=[0, 1],
            is_narrow=True,
        )
    )


def _rules(found: AuditResult) -> str:
    hits = Counter(finding.rule for finding in found.findings)
    alone = _only_reason(found.findings)
    num_lines = len(found.corpus) + len(found.rejected)
    broken = sorted(
        (rule for rule in clean.ALL_RULES if hits[rule.code]),
        key=lambda rule: (rule.action != "drop", -hits[rule.code]),
    )
    rows = [_rule_row(rule, hits[rule.code], alone[rule.code], num_lines) for rule in broken]
    if found.rejected:
        rule = rules.drop(
            NOT_A_ROW,
            "The line is no row: not JSON, a duplicate key, a missing field. Its number is in the quarantine.",
        )
        rows.insert(0, _rule_row(rule, len(found.rejected), len(found.rejected), num_lines))
    caption = "A row can break several rules; \u201conly\u201d counts the rows that no other rule would have dropped"
    headers = ["Rule", "Why it matters", "Action", "Rows", "Only", "Share", ""]
    return "<h2>Rules that were broken</h2>" + table(caption, headers, rows, numeric=[3, 4, 5])


def _rule_row(rule: Rule, num: int, alone: int, num_lines: int) -> list[str]:
    is_drop = rule.action == "drop"
    return [
        f'<a href="#{rule.code}"><code>{rule.code}</code></a>',
        escape(rule.reason),
        f'<span class="tag {"bad" if is_drop else "warn"}">{rule.action}</span>',
        str(num),
        str(alone) if is_drop else "",
        percent(num / num_lines),
        bar(num / num_lines, "lost"),
    ]


def _only_reason(findings: Iterable[Finding]) -> Counter[str]:
    by_clip: dict[str, list[str]] = {}
    for finding in findings:
        if finding.action == "drop":
            by_clip.setdefault(finding.clip_id, []).append(finding.rule)
    return Counter(codes[0] for codes in by_clip.values() if len(codes) == 1)


def _charts(found: AuditResult) -> str:
    values = {
        "duration_s": found.corpus.measured("duration_s"),
        "chars_per_s": found.corpus.chars_per_s,
        "rms_dbfs": found.corpus.measured("rms_dbfs"),
        "speech": found.corpus.speech_share,
    }
    kept = {name: held[~found.is_bad & ~np.isnan(held)] for name, held in values.items()}
    lost = {name: held[found.is_bad & ~np.isnan(held)] for name, held in values.items()}
    charts = [
        histogram(caption, unit, kept[name], lost[name], edges)
        for caption, unit, name, edges in (
            ("Duration", "seconds", "duration_s", _wide_enough(DURATION_EDGES, kept["duration_s"])),
            ("Pace", "characters/s of speech", "chars_per_s", PACE_EDGES),
            ("Loudness", "dBFS (RMS)", "rms_dbfs", LEVEL_EDGES),
            ("Speech", "share of the clip (voice activity)", "speech", SHARE_EDGES),
        )
        if name != "speech" or len(kept[name]) + len(lost[name])  # nobody listened
    ]
    return (
        "<h2>Before and after</h2>"
        '<p><svg class="key" aria-hidden="true"><rect class="kept" width="20" height="20"/></svg> kept \u00a0 '
        '<svg class="key" aria-hidden="true"><rect class="lost" width="20" height="20"/></svg> dropped. '
        '<span class="soft">The first and the last bar hold everything beyond; rows without audio or text are in no bar.</span></p>'
        f'<div class="charts">{"".join(charts)}</div>'
    )


def _wide_enough(edges: list[float], kept: Floats) -> list[float]:
    """The edges, stretched by a whole factor so that the kept values fit."""
    factor = 1 + int(kept.max(initial=0.0) // edges[-1])
    return [edge * factor for edge in edges]


def _kept(found: AuditResult) -> str:
    groups: dict[tuple[str, str], list[float]] = {}
    recordings: dict[tuple[str, str], set[str]] = {}
    names = ("speaker_id", "language", "duration_s", "recording_id")
    for speaker, language, duration_s, recording in zip(
        *(found.kept[name].to_pylist() for name in names), strict=True
    ):
        groups.setdefault((speaker, language), []).append(duration_s)
        recordings.setdefault((speaker, language), set()).add(recording)
    rows = [
        [
            escape(speaker),
            escape(language),
            str(len(seconds)),
            f"{sum(seconds) / 60:.1f}",
            str(len(recordings[speaker, language])),
        ]
        for (speaker, language), seconds in sorted(groups.items())
    ]
    headers = ["Speaker", "Language", "Clips", "Minutes", "Recordings"]
    return "<h2>What is left</h2>" + table("Rows that may be trained on", headers, rows, numeric=[2, 3, 4])


def _examples(found: AuditResult, sounds: Mapping[str, bytes]) -> str:
    by_rule, clips = _by_rule(found), examples(found)
    parts = [_rejected(found.rejected)] if found.rejected else []
    for rule in clean.ALL_RULES:
        if hits := by_rule.get(rule.code):
            rows = [
                _example(clips[finding.clip_id], finding, sounds.get(finding.clip_id))
                for finding in hits[:NUM_EXAMPLES]
            ]
            shown = (
                counted(len(hits), "row")
                if len(hits) <= NUM_EXAMPLES
                else f"the first {NUM_EXAMPLES} of {len(hits)} rows"
            )
            headers = ["Line", "Id", "Audio", "Listen", "Text", "Seen", "Limit"]
            listed = table(rule.reason, headers, rows, numeric=[0])
            parts.append(
                f'<details id="{rule.code}"><summary><code>{rule.code}</code>, {shown}</summary>{OFFERS.get(rule.code, "")}{listed}</details>'
            )
    return (
        "<h2>Examples</h2><p>In the order of the manifest. Lines are counted from 1. Players hold the first 6 seconds, and what could not be decoded has none.</p>"
        + "".join(parts)
    )


def _by_rule(found: AuditResult) -> dict[str, list[Finding]]:
    by_rule: dict[str, list[Finding]] = {}
    for finding in found.findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    return by_rule


def examples(found: AuditResult) -> dict[str, MeasuredRow]:
    """The clips that the page shows, by id: the first of each rule."""
    import pyarrow.compute as pc

    wanted = columns.strings(
        {one.clip_id for hits in _by_rule(found).values() for one in hits[:NUM_EXAMPLES]}
    )
    clips = found.corpus.clips(pc.index_in(wanted, found.corpus.rows["clip_id"]))
    return dict(zip(wanted.to_pylist(), clips, strict=True))


def _example(clip: MeasuredRow, finding: Finding, sound: bytes | None) -> list[str]:
    row = clip.row
    place = (
        row.audio
        if row.start_s is None
        else f"{row.audio} {row.start_s:g}\u2013{'end' if row.end_s is None else f'{row.end_s:g}'} s"
    )
    before = [str(row.line), row.user_id or row.clip_id, _short(place)]
    after = [rules.shown(row.text), finding.value, finding.threshold]
    return [*map(escape, before), _player(sound, f"Line {row.line}, {finding.rule}"), *map(escape, after)]


def _player(sound: bytes | None, name: str) -> str:
    """Loads nothing until somebody plays it; the browser's own controls obey the keyboard."""
    if sound is None:
        return '<span class="soft">not playable</span>'
    data = base64.b64encode(sound).decode()
    return f'<audio controls preload="none" aria-label="{escape(name)}" src="data:audio/ogg;base64,{data}"></audio>'


def _download(found: AuditResult) -> str:
    """The quarantine, byte by byte as in its file, while that is small enough for a page."""
    num = counted(len(found.quarantine), "line")
    content = bytearray()
    for one in found.quarantine:
        content += f"{digest.canonical_json(records.to_json(one))}\n".encode()
        if len(content) > MAX_DOWNLOAD_BYTES:
            break
    if len(content) > MAX_DOWNLOAD_BYTES:
        said = f"{num}, too much for this page: take <code>data/audit/quarantine.jsonl</code>."
    else:
        data = base64.b64encode(content).decode()
        href = f"data:application/x-ndjson;base64,{data}"
        said = f'<a download="quarantine.jsonl" href="{href}">Download quarantine.jsonl</a>: {num}, each with all of its reasons.'
    return f"<h2>The quarantine</h2><p>{said}</p>"


def _rejected(lines: Sequence[RejectedLine]) -> str:
    rows = [
        [str(one.line), escape(one.problem), escape(one.detail), f"<code>{escape(one.excerpt)}</code>"]
        for one in lines[:NUM_EXAMPLES]
    ]
    listed = table("Lines that are no rows", ["Line", "Problem", "Detail", "Begins with"], rows, numeric=[0])
    return f'<details id="{NOT_A_ROW}"><summary><code>{NOT_A_ROW}</code>, {counted(len(lines), "line")}</summary>{listed}</details>'


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
