"""The gate as a page: every check on what would be trained on, and beside it the same check on the raw manifest."""

from collections.abc import Sequence

from voicelathe.data.gate.line_leaks import Leak, Leaks
from voicelathe.data.gate.suite import Check, GateVerdict
from voicelathe.data.page import cards, counted, escape, page, table

SHOWN_IDS = 20
SHOWN_LEAKS, SHOWN_ROWS = 50, 5


def render(
    verdict: GateVerdict,
    before: GateVerdict,
    policy: str,
    speakers: Sequence[str],
    refused: Sequence[str],
    leaks: Leaks,
) -> str:
    """The page. The same verdicts give the same bytes."""
    parts = [
        _headline(verdict, before, policy, refused),
        _checks(verdict, before),
        _failing(verdict),
        _leaks(leaks),
        _consent(policy, speakers, refused),
    ]
    return page("Data gate", "\n".join(parts))


def render_raw(verdict: GateVerdict) -> str:
    """The page of a look at the raw manifest alone."""
    rows = [
        [
            f"<code>{escape(one.name)}</code>",
            escape(one.question),
            f"<code>{escape(one.limits)}</code>",
            one.severity,
            _outcome(one),
        ]
        for one in sorted(verdict.checks, key=lambda check: check.passed)
    ]
    caption = f"All {verdict.num_rows} rows of the raw manifest, divided row by row (80, 10 and 10 %) as training scripts do"
    said = (
        f"{counted(len(verdict.failures), 'critical check')} failed: this must not be trained on as it is."
        if verdict.failures
        else "No critical check failed."
    )
    parts = [
        "<h1>What the gate says about the raw manifest</h1>",
        f'<p class="banner {"bad" if verdict.failures else "good"}"><strong>{said}</strong></p>',
        "<p>A look without consequences: no row was dropped, no stage is stopped, and nothing is passed on.</p>",
        table(caption, ["Check", "Question", "Limits", "Severity", "Outcome"], rows),
        _failing(verdict),
    ]
    return page("Data gate: the raw manifest", "\n".join(parts))


def _headline(verdict: GateVerdict, before: GateVerdict, policy: str, refused: Sequence[str]) -> str:
    closed = bool(verdict.failures) or (bool(refused) and policy == "required")
    warnings = [check for check in verdict.checks if not check.passed and check.severity == "warning"]
    if closed:
        said = "The gate is closed: what failed below must not be trained on."
    elif policy == "research":
        said = "The gate is open for research: nothing that is trained on this may be promoted."
    else:
        said = "The gate is open: training may use exactly these rows."
    return (
        "<h1>May this be trained on?</h1>"
        f'<p class="banner {"bad" if closed else "warn" if policy == "research" else "good"}"><strong>{said}</strong></p>'
        "<p>Great Expectations judges the raw columns of the three splits. It does not know what the audit found, "
        "so it also judges the audit.</p>"
        + cards(
            [
                (str(verdict.num_rows), "rows in the three splits"),
                (
                    f"{sum(check.passed for check in verdict.checks)} of {len(verdict.checks)}",
                    "checks passed",
                ),
                (str(len(warnings)), "warnings"),
                (f"{len(before.failures)}", "critical checks that the raw manifest fails"),
            ]
        )
    )


def _checks(verdict: GateVerdict, before: GateVerdict) -> str:
    raw = {check.name: check for check in before.checks}
    rows = [
        [
            f"<code>{escape(check.name)}</code>",
            escape(check.question),
            f"<code>{escape(check.limits)}</code>",
            check.severity,
            _outcome(check),
            _outcome(raw[check.name]),
        ]
        for check in sorted(verdict.checks, key=lambda check: (check.passed, raw[check.name].passed))
    ]
    caption = (
        f"{verdict.num_rows} rows of the splits, and for contrast all {before.num_rows} rows of the raw manifest, "
        "divided row by row (80, 10 and 10 %) as training scripts do"
    )
    headers = ["Check", "Question", "Limits", "Severity", "Splits", "Raw manifest"]
    return "<h2>Checks</h2>" + table(caption, headers, rows)


def _outcome(check: Check) -> str:
    if check.passed:
        return '<span class="tag good">passed</span>'
    seen = (
        counted(check.num_unexpected, "row")
        if check.num_unexpected
        else f"found {check.observed or 'other values'}"
    )
    return f'<span class="tag {"bad" if check.severity == "critical" else "warn"}">failed</span> {escape(seen).replace(" ", "&nbsp;")}'


def _failing(verdict: GateVerdict) -> str:
    failed = [check for check in verdict.checks if check.clip_ids]
    if not failed:
        return ""
    parts = []
    for check in failed:
        ids = " ".join(f"<code>{escape(one)}</code>" for one in check.clip_ids[:SHOWN_IDS])
        more = f" and {check.num_unexpected - SHOWN_IDS} more" if check.num_unexpected > SHOWN_IDS else ""
        summary = f"<code>{escape(check.name)}</code>, {counted(check.num_unexpected, 'row')}"
        parts.append(f"<details><summary>{summary}</summary><p>{ids}{more}</p></details>")
    return "<h2>Clips that fail</h2>" + "".join(parts)


def _leaks(leaks: Leaks) -> str:
    """The lines and the validation texts that stand in the training text, whole or in runs, also below the limit."""
    said = (
        f"<p>{counted(leaks.num_lines, 'spoken line')} and {counted(leaks.num_validation, 'validation text')} were looked for in the "
        "training text: the same characters, the same words, and runs of eight words (twelve characters where nobody writes spaces). "
        "A share is that of the runs that are found anywhere in it.</p>"
    )
    parts = ["<h2>What was trained on already</h2>", said]
    if leaks.lines:
        parts.append(
            _leak_table(leaks.lines, f"{counted(len(leaks.lines), 'line')} in the training text", "Line")
        )
    if leaks.validation:
        more = f", the first {SHOWN_LEAKS}" if leaks.num_validation_leaks > SHOWN_LEAKS else ""
        caption = f"{leaks.num_validation_leaks} of {leaks.num_validation} validation texts in the training text{more}"
        parts.append(_leak_table(leaks.validation, caption, "Validation clip"))
        parts.append(
            "<p>The losses of these clips are partly memory. That does not close the gate: "
            "<code>split.same_text_together: true</code> keeps recordings of one sentence in one split.</p>"
        )
    if not (leaks.lines or leaks.validation):
        parts.append("<p>None of them stands there, not even in part.</p>")
    return "".join(parts)


def _leak_table(leaks: Sequence[Leak], caption: str, header: str) -> str:
    rows = [
        [
            f"<code>{escape(one.name)}</code>",
            escape(one.text),
            f"{one.share:.0%}",
            " ".join(f"<code>{escape(row)}</code>" for row in one.rows[:SHOWN_ROWS]),
        ]
        for one in sorted(leaks, key=lambda one: -one.share)[:SHOWN_LEAKS]
    ]
    return table(caption, [header, "Text", "Share", "Training clips"], rows)


def _consent(policy: str, speakers: Sequence[str], refused: Sequence[str]) -> str:
    if not refused:
        said = f"<p>{counted(len(speakers), 'speaker')}, each with a record that allows training on this day.</p>"
    else:
        said = "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in refused) + "</ul>"
    return f"<h2>Consent</h2><p>Policy: <code>{escape(policy)}</code>.</p>{said}"
