"""HTML and scripts in everything that a manifest can say, on the pages of the data stages: shown as text, never obeyed."""

import itertools
import re
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from typing import Any

import pyarrow
import pytest

from tests.factories import rows
from voicelathe.data.audit import clean, report
from voicelathe.data.gate import line_leaks
from voicelathe.data.gate import report as gate_report
from voicelathe.data.gate.suite import Check, GateVerdict
from voicelathe.records import RejectedLine

SAVED = "data:application/x-ndjson;base64,"  # the quarantine, to be kept
BARE = (
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "<b>bold</b>"),
    *(
        "<iframe src=javascript:alert(1)>",
        "<a href='javascript:alert(1)'>x</a>",
        "<style>*{display:none}</style>",
    ),
    *("<math><mtext></table><script>alert(1)</script>", "<base href=//evil>", "<form action=//evil><input>"),
    *(
        "<meta http-equiv=refresh content=0;url=//evil>",
        "<link rel=stylesheet href=//evil>",
        "<object data=//evil>",
    ),
    *(
        "<details open ontoggle=alert(1)>",
        "<body onload=alert(1)>",
        "<!--",
        "--><script>1</script>",
        "<![CDATA[<b>",
    ),
    *(
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&#60;script&#62;",
        "<scr\u0000ipt>",
        "＜script＞",
        "<\u200bscript>",
    ),
)
WRAPS = (
    "{}",
    '">{}',
    "'>{}",
    "</td></tr></table>{}",
    "</code></summary></details>{}",
    "</title></style>{}",
    " {} ",
    "{}\n{}",
)
PAYLOADS = [wrap.format(*[one] * wrap.count("{}")) for wrap, one in itertools.product(WRAPS, BARE)]


class Shape(HTMLParser):
    """Tags with their attributes' names, counted, and the places where a page could reach out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[tuple[str, ...]] = Counter()
        self.links: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag, *sorted(name for name, _ in attrs)] += 1
        self.links |= {value or "" for name, value in attrs if name in ("href", "src", "action", "data")}

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


WORD = "harmless"


def data_page(payload: str) -> str:
    """The audit's report over some rows and a rejected line, with the payload wherever a manifest's own words stand."""
    texts = (f"{WORD} " * 90, f"[{WORD}]", "", f"{WORD} and no more than that is said.")
    known = [
        rows.manifest_row(
            number,
            text=text,
            **{name: f"{WORD}{number}" for name in ("audio", "recording_id", "user_id")},
            **{"speaker_id": WORD, "language": WORD},
        )
        for number, text in enumerate(texts, 1)
    ]
    measures = [rows.measured(1), rows.measured(2), rows.measured(3), rows.unmeasured(4, "unreadable")]
    rejected = [RejectedLine(5, "not_json", WORD, WORD)]
    found = clean.audit(known, rejected, measures, rows.AUDIT, rows.PHRASES)
    assert len({finding.rule for finding in found.findings}) >= 4
    return report.render(said(found, payload))


def said(value: Any, payload: str) -> Any:
    """A record, or a list of them, with the payload in the place of the harmless word."""
    if isinstance(value, str):
        return value.replace(WORD, payload)
    if isinstance(value, pyarrow.Table):
        columns = [said(value[name].to_pylist(), payload) for name in value.column_names]
        return pyarrow.table(columns, schema=value.schema)
    if isinstance(value, list):
        return [said(one, payload) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: said(getattr(value, one.name), payload) for one in fields(value)})
    return value


def gate_page(payload: str) -> str:
    check = Check(
        name=payload,
        question=payload,
        severity="critical",
        expectation="x",
        limits=payload,
        passed=False,
        num_unexpected=2,
        observed=payload,
        clip_ids=[payload, payload],
    )
    verdict = GateVerdict(2, [check])
    leak = line_leaks.Leak(payload, payload, 0.5, [payload])
    leaks = line_leaks.Leaks(None, None, [leak], [leak], 1, 1, 1)
    return gate_report.render(verdict, verdict, payload, [payload], [payload], leaks)


def test_there_are_many_payloads() -> None:
    assert len(set(PAYLOADS)) >= 180


@pytest.mark.slow
def test_the_data_report_has_the_same_elements_whatever_a_manifest_says() -> None:
    harmless = Shape(data_page(WORD))
    for payload in PAYLOADS:
        hostile = Shape(data_page(payload))
        assert hostile.tags == harmless.tags, payload
        saved = {link for link in hostile.links if re.fullmatch(f"{SAVED}[A-Za-z0-9+/=]*", link)}
        inside = {link for link in harmless.links if link.startswith("#")}
        assert len(saved) == 1 and hostile.links - saved == inside


def test_the_gate_report_has_the_same_elements_whatever_a_manifest_says() -> None:
    harmless = Shape(gate_page(WORD))
    for payload in PAYLOADS:
        assert Shape(gate_page(payload)).tags == harmless.tags, payload


def test_the_pages_forbid_scripts_and_the_network() -> None:
    for page in (data_page("x"), gate_page("x")):
        assert "default-src 'none'" in page and "<script" not in page


def test_a_page_that_did_not_escape_would_be_noticed() -> None:
    harmless = Shape(data_page(WORD))
    assert Shape(data_page(WORD).replace(WORD, "<b>x</b>")).tags != harmless.tags
