"""The gate as a page: every check on what would be trained on, and beside it the same check on the raw manifest."""

from collections.abc import Sequence

from voicelathe.data.gate import Check, Verdict
from voicelathe.data.page import cards, counted, escape, page, table

SHOWN_IDS = 20


def render(
    verdict: Verdict, before: Verdict, policy: str, speakers: Sequence[str], refused: Sequence[str]
) -> str:
    """The page. The same verdicts give the same bytes."""
    parts = [
        _headline(verdict, before, policy, refused),
        _checks(verdict, before),
        _failing(verdict),
        _consent(policy, speakers, refused),
    ]
    return page("Data gate", "\n".join(parts))


def render_raw(verdict: Verdict) -> str:
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


def _headline(verdict: Verdict, before: Verdict, policy: str, refused: Sequence[str]) -> str:
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


def _checks(verdict: Verdict, before: Verdict) -> str:
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


def _failing(verdict: Verdict) -> str:
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


def _consent(policy: str, speakers: Sequence[str], refused: Sequence[str]) -> str:
    if not refused:
        said = f"<p>{counted(len(speakers), 'speaker')}, each with a record that allows training on this day.</p>"
    else:
        said = "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in refused) + "</ul>"
    return f"<h2>Consent</h2><p>Policy: <code>{escape(policy)}</code>.</p>{said}"
