"""Sentences are found in a corpus whole, inside of rows and in runs; what is told does not depend on batches or order."""

import random

import numpy as np
import pyarrow
import pytest

from voicelathe.data.text import characters, overlap
from voicelathe.data.text.overlap import Sentence, find


def table(*texts: str | None) -> pyarrow.Table:
    return pyarrow.table(
        {"clip_id": [f"r{at}" for at in range(len(texts))], "text": pyarrow.array(texts, pyarrow.string())}
    )


def naive(one: str, others: list[str], run: int = 8) -> float:
    """The same share by the definition, row by row."""
    words = characters.words(one).split()
    runs = {tuple(words[at : at + run]) for at in range(len(words) - run + 1)}
    held = [characters.words(other).split() for other in others]
    met = {
        some for other in held for at in range(len(other)) if (some := tuple(other[at : at + run])) in runs
    }
    if any(other == words for other in held) and words:
        return 1.0
    return len(met) / len(runs) if runs else 0.0


@pytest.mark.parametrize("batch", [3, 64, 1 << 16])
def test_shares_are_those_of_the_definition_whatever_the_batch(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "ROWS_AT_ONCE", batch)
    chance = random.Random(5)
    words = [f"w{number}" for number in range(6)]  # few, so that runs meet by chance
    said = [" ".join(chance.choices(words[:3], k=chance.randint(8, 30))) for _ in range(150)]
    asked = [
        Sentence(str(at), " ".join(chance.choices(words[:3], k=chance.randint(8, 20))), "en")
        for at in range(30)
    ]
    found = find(asked, table(*said))
    shares = {one.id: naive(one.text, said) for one in asked}
    assert found.shares == {name: pytest.approx(share) for name, share in shares.items() if share}
    assert sum(0 < share < 1 for share in shares.values()) > 5, "the case has something to find"
    for row, share in enumerate(found.of_rows.tolist()):
        holds = [one.id for one in asked if naive(one.text, [said[row]])]
        assert share == pytest.approx(max((shares[name] for name in holds), default=0.0))


def test_a_run_does_not_reach_from_one_row_into_the_next() -> None:
    halves = table("the old man opened", "the window after dinner tonight")
    assert (
        find([Sentence("a", "The old man opened the window after dinner tonight", "en")], halves).shares == {}
    )


def test_rows_without_text_and_sentences_without_words_hold_nothing() -> None:
    found = find([Sentence("a", "...", "en"), Sentence("b", "", "zh")], table(None, "", "..."))
    assert found.shares == {} and found.of_rows.tolist() == [0.0, 0.0, 0.0] and found.met == {}
    assert find([], table("x")).shares == {} and find([Sentence("a", "x", "en")], table()).shares == {}


def test_what_no_row_says_in_whole_is_not_looked_for_inside_when_nobody_asks() -> None:
    rows = table("She said that the lamp is on again today.")
    asked = [Sentence("a", "The lamp is on.", "en")]
    assert find(asked, rows).shares == {"a": 1.0}
    assert find(asked, rows, contained=False).shares == {}


def test_at_most_so_many_rows_are_named_and_all_of_them_are_counted() -> None:
    found = find([Sentence("a", "It rains.", "en")], table(*["it rains"] * 50), shown=3)
    assert [met.clip_id for met in found.met["a"]] == ["r0", "r1", "r2"]
    assert np.count_nonzero(found.of_rows) == 50


def test_a_phrase_of_every_row_stays_within_memory() -> None:
    """Ten thousand sentences that share a run with ten thousand rows are a hundred million pairs."""
    phrase = "please say the following word for me now"
    rows = table(*(f"{phrase} w{number}" for number in range(10_000)))
    asked = [Sentence(str(number), f"{phrase} v{number}", "en") for number in range(10_000)]
    found = find(asked, rows, shown=1, contained=False)
    assert set(found.shares.values()) == {0.5} and len(found.shares) == 10_000
    assert [len(one) for one in found.met.values()] == [1] * 10_000
