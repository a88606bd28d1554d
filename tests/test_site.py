"""Links of the manual as the site has its pages. Whether they all lead somewhere, `make site` says."""

from pathlib import Path

import pytest

from tools import pages

ROOT = Path(__file__).parents[1]
HELD = {
    "docs/cli.md",
    "docs/plan.md",
    "docs/README.md",
    "docs/images/plan.svg",
    "docs/decisions/0001-one-definition-of-settings.md",
}


def of(text: str, here: str, page: str) -> str:
    return pages.LINK.sub(lambda found: pages.link(found, here, page, HELD, ROOT), text)


@pytest.mark.parametrize(
    ("here", "page", "written", "expected"),
    [
        ("docs/plan.md", "plan.md", "[a](cli.md#x)", "[a](cli.md#x)"),
        ("docs/plan.md", "plan.md", "[a](../README.md)", "[a](start.md)"),
        ("docs/plan.md", "plan.md", "[a](../benchmarks/RESULTS.md#b)", "[a](results.md#b)"),
        ("README.md", "start.md", "![p](docs/images/plan.svg) [a](docs/cli.md)", "![p](images/plan.svg) [a](cli.md)"),
        ("benchmarks/RESULTS.md", "results.md", "[a](../docs/plan.md)", "[a](plan.md)"),
        ("docs/decisions/0001-one-definition-of-settings.md", "decisions/0001-one-definition-of-settings.md", "[a](../cli.md)", "[a](../cli.md)"),
        ("docs/plan.md", "plan.md", "[the settings](../params.yaml)", "the settings"),
        ("docs/plan.md", "plan.md", "[a](https://x.org/y.md) [b](#here)", "[a](https://x.org/y.md) [b](#here)"),
        ("docs/plan.md", "plan.md", "[a](nowhere.md) [b](../nowhere.py)", "[a](nowhere.md) [b](../nowhere.py)"),
    ],
)  # fmt: skip
def test_links_go_where_the_site_has_the_page(here: str, page: str, written: str, expected: str) -> None:
    assert of(written, here, page) == expected
