"""What docs/choosing.md says of guards: the margins that are shipped, and what they let through."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from voicelathe.config import params
from voicelathe.config.schema import Guards
from voicelathe.evaluate import guards
from voicelathe.evaluate.scores import ENDINGS, WORDS, Scores

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/choosing.md").read_text()
SENTENCES = " ".join(PAGE.split())
SHIPPED = [ROOT / "params.yaml", *sorted((ROOT / "recipes").glob("*.yaml"))]


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table under this heading."""
    lines = PAGE.split(f"{heading}\n")[1].splitlines()
    for line in lines[1:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


MARGINS = {cells[0]: float(cells[1]) for cells in rows("| guard | default | why so much |")}
SIMULATED = list(rows("| deviation | lines | truly loses | passes | fails |"))


def test_the_table_of_margins_is_what_is_shipped() -> None:
    shipped = {
        f"{path.name}: {name}": dict(recipe["select"]["guards"])
        for path in SHIPPED
        for name, recipe in params.read_yaml(path)["recipes"].items()
    }
    assert len(shipped) > len(SHIPPED)
    assert {name: margins for name, margins in shipped.items() if margins != MARGINS} == {}


def verdict(measure: str, differences: Sequence[float], margin: float) -> str:
    """Of a candidate that differs from the base so on each line."""
    lines = {f"line-{number}": 0.5 for number in range(len(differences))}
    other = dict(zip(lines, (0.5 + one for one in differences), strict=True))
    how = Guards(**{**dict.fromkeys(asdict(Guards(None, None, None))), measure: margin})
    against = guards.bar(Scores({measure: {"base": lines, "step": other}}), "base", how, {})
    return guards.verdict(against.test(measure, "step"), against)


def passes_from(measure: str, margin: float) -> int:
    """With how many lines a candidate without a fault passes."""
    return next(num for num in range(2, 100) if verdict(measure, [0.0] * num, margin) == guards.PASSED)


def test_as_many_lines_as_the_page_says_let_a_candidate_without_a_fault_pass() -> None:
    ours = [passes_from(measure, MARGINS[measure]) for measure in (WORDS, ENDINGS)]
    assert ours == [12, 12] and passes_from(ENDINGS, 0.1) == 23
    assert "with 11 not even a candidate without a single fault passes the default guards" in SENTENCES
    said = "12 lines without a fault pass, as they pass the guard of words; a margin of 0.1 asks for 23"
    assert said in SENTENCES


def test_as_many_bad_endings_of_24_pass_and_fail_as_the_page_says() -> None:
    found = [verdict(ENDINGS, [-1.0] * bad + [0.0] * (24 - bad), MARGINS[ENDINGS]) for bad in range(6)]
    assert found == [*[guards.PASSED] * 2, *[guards.NOT_SHOWN] * 3, guards.FAILED]
    said = "Where the base ends all of 24 lines, one bad ending passes, two to four are left open, five fail"
    assert said in SENTENCES


@pytest.mark.parametrize("cells", SIMULATED, ids=lambda cells: " ".join(cells[:3]))
def test_simulated_candidates_pass_and_fail_as_often_as_the_page_says(cells: list[str]) -> None:
    """1,500 draws: 2.5 standard errors are at most 3.3 points."""
    deviation, num, loss = float(cells[0]), int(cells[1]), float(cells[2])
    generator = np.random.default_rng(20261128)
    drawn = generator.normal(-loss, deviation, (1500, num))
    found = [verdict(WORDS, row.tolist(), MARGINS[WORDS]) for row in drawn]
    shares = [100 * found.count(one) / len(found) for one in (guards.PASSED, guards.FAILED)]
    said = [float(cell.removesuffix(" %")) for cell in cells[3:]]
    assert shares == pytest.approx(said, abs=3.3)


def test_the_page_has_both_tables() -> None:
    assert set(MARGINS) == {"words", "endings", "quality"} and len(SIMULATED) == 5
