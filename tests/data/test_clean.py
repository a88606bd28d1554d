"""The audit loses nothing: every line is clean, in the quarantine with all reasons, or both counts are wrong."""

import random
from html.parser import HTMLParser

import pytest

from tests.factories import rows
from voicelathe.data.audit import clean, contamination, report
from voicelathe.data.audit.clean import AuditResult
from voicelathe.errors import RecordError
from voicelathe.records import ClipMeasure, ManifestRow, RejectedLine

REJECTED = [RejectedLine(4, "not_json", "Expecting value", "{oops")]


def corpus() -> tuple[list[ManifestRow], list[ClipMeasure]]:
    """Two clean rows, one with two faults, one overlap, one warning, one file that is missing; line 4 is no row."""
    known = [
        rows.manifest_row(1),
        rows.manifest_row(2, text="", sample_rate_hz=24000),
        rows.manifest_row(3, audio_sha256="f", start_s=1.0, end_s=4.0),
        rows.manifest_row(5, audio_sha256="f", start_s=2.0, end_s=5.0),
        rows.manifest_row(6),
        rows.manifest_row(7, audio_sha256=None, audio_problem="missing"),
    ]
    measures = [rows.measured(n) for n in (1, 2, 3, 5)]
    return known, [*measures, rows.measured(6, num_channels=2), rows.unmeasured(7, "missing")]


def audited() -> AuditResult:
    known, measures = corpus()
    return clean.audit(known, REJECTED, measures, rows.AUDIT, rows.PHRASES)


def test_every_line_is_clean_or_in_the_quarantine_with_all_of_its_reasons() -> None:
    found = audited()
    assert [one.clip_id for one in found.clean] == ["c0001", "c0003", "c0006"]
    assert [(one.line, one.reasons) for one in found.quarantine] == [
        (2, ["empty_text", "declared_rate"]),
        (4, ["not_json"]),
        (5, ["overlap"]),
        (7, ["missing"]),
    ]
    assert all(len(one.details) == len(one.reasons) for one in found.quarantine)
    assert found.quarantine[1].clip_id is None and "{oops" in found.quarantine[1].details[0]


def test_a_warning_keeps_its_row() -> None:
    assert [(one.clip_id, one.rule) for one in audited().findings if one.action == "warn"] == [
        ("c0003", "repeated_text"),
        ("c0006", "channels"),
        ("c0006", "repeated_text"),
    ]


def test_a_clean_clip_has_the_bounds_that_were_measured() -> None:
    _, cut, whole = audited().clean
    assert (cut.start_s, cut.end_s, cut.duration_s) == (1.0, 4.0, 3.0)
    assert (whole.start_s, whole.end_s) == (0.0, 3.0)


def test_the_order_of_the_rows_does_not_matter() -> None:
    known, measures = corpus()
    random.Random(1).shuffle(known)
    random.Random(2).shuffle(measures)
    assert clean.audit(known, REJECTED, measures, rows.AUDIT, rows.PHRASES) == audited()


def test_measures_of_other_rows_are_refused() -> None:
    known, measures = corpus()
    with pytest.raises(RecordError, match="dvc repro measure"):
        clean.audit(known, [], measures[:-1], rows.AUDIT, rows.PHRASES)
    with pytest.raises(RecordError, match="dvc repro measure"):
        clean.audit(known, [], [*measures[:-1], rows.measured(9)], rows.AUDIT, rows.PHRASES)


def test_the_summary_is_flat_adds_up_and_always_has_the_same_keys() -> None:
    found = clean.summary(audited())
    assert (found["rows"], found["kept"], found["dropped"]) == (7, 3, 4)
    assert found["dropped_share"] == round(4 / 7, 6) and found["dropped_not_a_row"] == 1
    assert found["dropped_unusable_audio"] == found["dropped_declared_rate"] == 1
    assert found["dropped_empty_text"] == found["dropped_overlap"] == found["warned_channels"] == 1
    assert all(isinstance(value, (int, float)) for value in found.values())
    one = clean.audit([rows.manifest_row()], [], [rows.measured()], rows.AUDIT, rows.PHRASES)
    assert list(clean.summary(one)) == list(found)


def test_the_minutes_are_the_same_on_every_python() -> None:
    """sum() of seven times 1.05 s made 0.122 minutes before Python 3.12."""
    numbers = range(1, 8)
    measures = [rows.measured(number, duration_s=1.05) for number in numbers]
    found = clean.summary(
        clean.audit(list(map(rows.manifest_row, numbers)), [], measures, rows.AUDIT, rows.PHRASES)
    )
    assert found["minutes_before"] == 0.123 and found["minutes_kept"] in (0.123, 0.0)


@pytest.mark.parametrize(
    ("bad", "clips", "steps"), [(0.31, 8, 0.949), (0.3, 8, 0.942), (0.1, 8, 0.570), (5229 / 17055, 8, 0.947)]
)
def test_contamination_is_that_of_the_reference_arithmetic(bad: float, clips: int, steps: float) -> None:
    assert contamination.closed_form(bad, clips) == pytest.approx(steps, abs=0.0005)
    assert clean.summary(audited())["bad_share_of_steps_of_8"] == round(1 - (1 - 4 / 7) ** 8, 6)


# --- the report ------------------------------------------------------------------------------------------------------


class Dom(HTMLParser):
    """Start tags with their attributes, and everything that could load or run something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.active: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.active += [
            f"{tag} {name}={value}"
            for name, value in attrs
            if name.startswith("on")
            or (name in ("src", "style", "srcset") and not (value or "").startswith("data:audio/ogg;base64,"))
        ]
        self.active += [
            f"{tag} href={value}"
            for name, value in attrs
            if name == "href" and not (value or "").startswith(("#", "data:application/x-ndjson;base64,"))
        ]
        self.active += (
            [tag] if tag in ("script", "iframe", "object", "embed", "link", "base", "form", "img") else []
        )


ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</td></tr></table><h1>owned</h1>",
    "</style><script>1</script>",
    "</title><script>1</script>",
    "<!--",
    "-->",
    "]]>",
    "&lt;script&gt;",
    "&#60;script&#62;",
    "javascript:alert(1)",
    "\u202egnp.exe\u202c",
    "<a href=https://example.org>x</a>",
    "\x00<b>",
    "{{7*7}}${7*7}",
    "<plaintext>",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
]


def dom(page: str) -> Dom:
    parsed = Dom()
    parsed.feed(page)
    return parsed


def hostile(text: str) -> str:
    known, measures = corpus()
    known[1] = rows.manifest_row(
        2,
        text=f"<|x|> {rows.SENTENCE} &amp; {text}\x07",  # always markup, and always normalised
        audio=text,
        user_id=text,
        recording_id=text,
        sample_rate_hz=24000,
    )
    known[0] = rows.manifest_row(1, speaker_id=text, language=text)
    measures[1] = rows.measured(2, duration_s=4.0)
    lines = [RejectedLine(4, text, text, text)]
    return report.render(clean.audit(known, lines, measures, rows.AUDIT, rows.PHRASES))


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_that_stands_in_a_manifest_becomes_part_of_the_page(attack: str) -> None:
    attacked, benign = dom(hostile(attack)), dom(hostile("harmless words"))
    assert attacked.active == [] and attacked.tags == benign.tags


def test_no_character_of_the_page_is_invisible_or_turns_the_line() -> None:
    import unicodedata

    page = hostile("\u202egnp.exe\u202c \u2066\u200b\x00\x1b[31m\u2028")
    assert {one for one in page if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")} == {"\n"}
    assert "\\u202egnp.exe" in page


def test_the_page_needs_no_network_and_says_so_in_its_policy() -> None:
    page = report.render(audited())
    assert "default-src 'none'; style-src 'sha256-" in page and "http" not in page.replace("http-equiv", "")


def test_the_policy_names_the_style_that_is_in_the_page() -> None:
    import base64
    import hashlib
    import re

    page = report.render(audited())
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in page


def test_the_same_audit_is_the_same_page() -> None:
    assert report.render(audited()) == report.render(audited())


def test_the_page_shows_every_broken_rule_with_its_rows() -> None:
    page = report.render(audited())
    for code in ("empty_text", "declared_rate", "overlap", "missing", "channels", "not_a_row"):
        assert f'id="{code}"' in page and f'href="#{code}"' in page
    assert "rec_02.wav" in page and "{oops" in page


def test_twenty_examples_of_a_rule_are_shown_and_the_rest_counted() -> None:
    known = [rows.manifest_row(number, text="") for number in range(1, 31)]
    found = clean.audit(known, [], [rows.measured(n) for n in range(1, 31)], rows.AUDIT, rows.PHRASES)
    page = report.render(found)
    assert "the first 20 of 30 rows" in page and "rec_20.wav" in page and "rec_21.wav" not in page


def test_what_is_dropped_was_not_trimmed() -> None:
    quiet = {"trailing_silence_s": 0.9, "duration_s": 3.9}
    known = [rows.manifest_row(1), rows.manifest_row(2, sample_rate_hz=24000)]
    found = clean.audit(known, [], [rows.measured(n, **quiet) for n in (1, 2)], rows.AUDIT, rows.PHRASES)
    named = {(one.clip_id, one.rule) for one in found.findings if one.action != "warn"}
    assert named == {("c0001", "edge_silence"), ("c0002", "declared_rate")}
    assert clean.summary(found)["trimmed_edge_silence"] == len(found.clean) == 1
