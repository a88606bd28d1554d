"""The listening page as a file: self-contained, blind, escaped, deterministic. What it does in a browser: test_browser.py."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.factories import evaluations as make
from voicelathe.evaluate.listening import design, page
from voicelathe.evaluate.report import templates

KNOWN = make.candidates(10, 20, 30)
EVIL = "</script><img src=x onerror=alert(1)>\u2028<!--"


class Text(HTMLParser):
    """What a reader sees: text outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.seen, self.tags = "", "", []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.seen += data


def parsed(html: str) -> Text:
    text = Text()
    text.feed(html)
    return text


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweep")


def render(root: Path, **how: Any) -> str:
    trained = how.pop("base_trained", True)
    spoken = make.samples(how.pop("known", KNOWN), root=root, **how)
    return page.render(make.RECIPE, make.run(), spoken, root, base_trained=trained)


def page_of(html: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        re.findall(r'<script type="application/json" id="page">(.*?)</script>', html, re.S)[0]
    )
    return found


def test_equal_samples_give_equal_bytes(root: Path) -> None:
    assert render(root) == render(root)


def test_nothing_is_loaded_from_anywhere(root: Path) -> None:
    html = render(root)
    for _, attributes in parsed(html).tags:
        assert not {"src", "href", "action", "srcset"} & set(attributes)
    assert not re.search(r"https?://", html)
    assert "@import" not in html and "url(" not in html


def test_the_policy_allows_the_shipped_script_and_style_and_nothing_else(root: Path) -> None:
    html = render(root)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', html)[0].replace(
        "&#39;", "'"
    )
    script, style = (
        re.findall(r"<script>(.*?)</script>", html, re.S)[-1],
        re.findall(r"<style>(.*?)</style>", html, re.S)[0],
    )
    assert policy == templates.policy(style, script)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "style=" not in html.replace(style, "").replace(script, ""), "inline styles would be blocked"


def test_no_candidate_can_be_read_in_the_page_before_the_reveal(root: Path) -> None:
    html = render(root)
    assert not re.search(r"step_\d|step \d", html)
    assert "candidate" in page_of(html)["clips"][0] and isinstance(
        page_of(html)["clips"][0]["candidate"], int
    )


def test_transcripts_and_recipe_names_cannot_end_the_script_or_become_markup(root: Path) -> None:
    html = page.render(
        "<b>&", make.run(), make.samples(KNOWN, {"x": EVIL}, root=root), root, base_trained=True
    )
    assert "<img" not in html and "<b>&</b>" not in html and "&lt;b&gt;" in html and "\u2028" not in html
    assert page_of(html)["lines"] == {"x": EVIL}
    assert [tag for tag, _ in parsed(html).tags].count("script") == 2 + len(KNOWN)


def test_an_untrained_base_is_announced_and_a_trained_one_is_not(root: Path) -> None:
    assert "Untrained base." in parsed(render(root, base_trained=False)).seen
    assert "ntrained base" not in parsed(render(root, base_trained=True)).seen


def test_failed_generations_are_listed_and_not_embedded(root: Path) -> None:
    html = render(root, problems={(KNOWN[1].name, "short"): "silent", (KNOWN[2].name, "short"): "empty"})
    page = page_of(html)
    assert [(one["line"], one["problem"]) for one in page["failed"]] == [
        ("short", "silent"),
        ("short", "empty"),
    ]
    assert len(page["clips"]) == 6 and html.count('id="audio-') == 6


def test_a_sweep_without_a_single_sound_still_makes_a_page(root: Path) -> None:
    page = page_of(
        render(root, problems={(one.name, line): "silent" for one in KNOWN for line in make.LINES})
    )
    assert page["clips"] == [] and page["trials"] == {mode: [] for mode in design.MODES}


def test_samples_of_a_line_are_equally_loud_and_gains_are_kept_for_the_reveal(root: Path) -> None:
    gains = [one["gain_db"] for one in page_of(render(root))["clips"]]
    assert len(set(gains)) > 2


def test_the_names_for_the_reveal_are_in_the_page_but_not_readable(root: Path) -> None:
    names = json.loads(base64.b64decode(page_of(render(root))["names"]))
    assert names == [
        ["base", "base"],
        ["step_0000010@1", "step 10"],
        ["step_0000020@1", "step 20"],
        ["step_0000030@1", "step 30"],
    ]
