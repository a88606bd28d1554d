"""How much of a sentence stands in other texts? Whole, or as runs of eight words; twelve characters where nobody writes spaces.

A sentence that was trained on can be recited, so it says nothing about a voice. Compared is what `text.words` leaves: no case, no
punctuation. A sentence of fewer than eight words counts when the other text holds all of it, one of fewer than four only when the
other text says nothing else: "Good morning." inside a sentence is no leak. Runs are compared as 64-bit hashes, and what is met is
kept as numbers, so that a phrase which every row of a million repeats fits into memory, too.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from voicelathe.data.columns import Column, Table
from voicelathe.data.text import characters, columns

RUN_WORDS, LEAST_WORDS = 8, 4
RUN_CHARS, LEAST_CHARS = 12, 6
ROWS_AT_ONCE = 1 << 16
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing
SPACELESS = frozenset(
    ["zh", "yue", "wuu", "nan", "ja", "th", "lo", "km", "my", "bo"]
)  # languages written without spaces
Array = Any  # numpy.ndarray


@dataclass(frozen=True)
class Sentence:
    """What is looked for."""

    id: str
    text: str
    language: str


@dataclass(frozen=True)
class Meeting:
    """A row that holds some of a sentence."""

    clip_id: str
    kind: str  # exact | normalised: other case or punctuation | contained: and more around it | runs


@dataclass(frozen=True)
class Overlap:
    """How much of the sentences stands in the rows."""

    shares: dict[
        str, float
    ]  # sentence -> share of its runs that stand in any row, 1 for a whole sentence; those above 0 only
    of_rows: Array  # for each row the largest share among the sentences that it holds some of
    met: dict[str, list[Meeting]]  # sentence -> the first of them


@dataclass
class _Index:
    """What can be met: whole sentences and runs, each with a number. One for words, one for writing without spaces."""

    run: int
    least: int
    spaceless: bool
    whole: dict[str, int] = field(default_factory=dict)  # the row says nothing else
    pieces: dict[str, int] = field(default_factory=dict)  # the row may say more
    runs: dict[int, int] = field(default_factory=dict)
    sentences: list[list[str]] = field(default_factory=list)  # by number
    runs_of: dict[str, set[int]] = field(default_factory=dict)

    def add(self, sentences: Sequence[Sentence]) -> None:
        import pyarrow

        keys = [self.key(characters.words(one.text)) for one in sentences]
        for one, key in zip(sentences, keys, strict=True):
            size = len(key) if self.spaceless else len(key.split())
            if size:
                self._number(self.whole, key, one.id)
            if self.least <= size < self.run:
                self._number(self.pieces, key, one.id)
        places, hashes = self.hashes(pyarrow.chunked_array([pyarrow.array(keys, pyarrow.string())]))
        for place, value in zip(places.tolist(), hashes.tolist(), strict=True):
            name = sentences[place].id
            self.runs_of.setdefault(name, set()).add(self._number(self.runs, value, name))

    def _number(self, known: dict[Any, int], value: Any, sentence: str) -> int:
        number = known.setdefault(value, len(self.sentences))
        if number == len(self.sentences):
            self.sentences.append([])
        self.sentences[number].append(sentence)
        return number

    def key(self, said: str) -> str:
        return said.replace(" ", "") if self.spaceless else said

    def look(self, texts: Column) -> Iterator[tuple[Array, Array]]:
        """Places in the column and the numbers of what stands there."""
        import pyarrow
        import pyarrow.compute as pc

        said = columns.words(texts)
        keyed = pc.replace_substring(said, " ", "") if self.spaceless else said
        at = pc.index_in(keyed, pyarrow.array(list(self.whole), pyarrow.string()))
        places = np.flatnonzero(pc.is_valid(at).to_numpy())
        numbers = np.array(list(self.whole.values()), np.int64)
        yield places, numbers[at.take(places).to_numpy().astype(np.int64)]
        for piece, number in self.pieces.items():
            places = np.flatnonzero(pc.fill_null(pc.match_substring(keyed, piece), False).to_numpy())
            yield places, np.full(len(places), number)
        if self.runs:
            known = np.array(sorted(self.runs), np.uint64)
            numbers = np.array([self.runs[value] for value in known.tolist()], np.int64)
            places, hashes = self.hashes(keyed)
            found = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
            met = known[found] == hashes
            yield places[met], numbers[found[met]]

    def hashes(self, keyed: Column) -> tuple[Array, Array]:
        """Place and hash of every run."""
        tokens, sizes = _characters(keyed) if self.spaceless else _words(keyed)
        place_of = np.repeat(np.arange(len(keyed)), sizes)
        num = max(0, len(tokens) - self.run + 1)
        total = np.zeros(num, np.uint64)
        for offset in range(self.run if num else 0):
            total = total * FACTOR + tokens[offset : offset + num]
        within = place_of[:num] == place_of[len(place_of) - num :]
        return place_of[:num][within], total[within]

    def shares(self, met: set[int]) -> dict[str, float]:
        """Of the sentences of which something was met."""
        full = {*self.whole.values(), *self.pieces.values()} & met
        found = {name: len(runs & met) / len(runs) for name, runs in self.runs_of.items() if runs & met}
        return found | {name: 1.0 for number in full for name in self.sentences[number]}


def _characters(keyed: Column) -> tuple[Array, Array]:
    """Every character of the texts as a number, and how many each text has."""
    keys = [one or "" for one in keyed.to_pylist()]
    points = np.frombuffer("".join(keys).encode("utf-32-le"), "<u4").astype(np.uint64)
    return points * FACTOR, np.array([len(key) for key in keys], np.int64)


def _words(keyed: Column) -> tuple[Array, Array]:
    """Every word of the texts as a number, and how many each text has."""
    import pyarrow
    import pyarrow.compute as pc

    split = pc.split_pattern(pc.fill_null(pc.utf8_trim(keyed, " "), ""), " ").combine_chunks()
    coded = pc.list_flatten(split).dictionary_encode()
    known = np.array([_hash(word) for word in coded.dictionary.to_pylist()], np.uint64)
    sizes = pc.list_value_length(split).cast(pyarrow.int64()).to_numpy()
    return known[coded.indices.to_numpy()] if len(known) else np.zeros(0, np.uint64), sizes


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())


def find(sentences: Sequence[Sentence], rows: Table, shown: int = 20, contained: bool = True) -> Overlap:
    """What of the sentences stands in the rows, which have clip_id and text; at most `shown` rows are named for each.

    `contained`: short sentences are looked for inside of rows, too, which takes a pass over all texts for each of them.
    """
    result = Overlap({}, np.zeros(len(rows)), {})
    for spaceless, run, least in ((False, RUN_WORDS, LEAST_WORDS), (True, RUN_CHARS, LEAST_CHARS)):
        index = _Index(run, least if contained else run, spaceless)
        index.add([one for one in sentences if is_spaceless(one.language) == spaceless])
        if index.whole:
            _search(index, {one.id: one for one in sentences}, rows, shown, result)
    return result


def _search(index: _Index, known: dict[str, Sentence], rows: Table, shown: int, result: Overlap) -> None:
    places, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        for at, met in index.look(rows["text"].slice(start, ROWS_AT_ONCE)):
            places.append(at + start)
            numbers.append(met)
    place, number = np.concatenate(places), np.concatenate(numbers)
    shares = index.shares(set(np.unique(number).tolist()))
    result.shares.update(shares)
    largest = np.array([max(shares.get(name, 0.0) for name in names) for names in index.sentences])
    np.maximum.at(result.of_rows, place, largest[number])
    first: dict[str, set[int]] = defaultdict(set)
    for one, held in _groups(number, place, shown):
        for name in index.sentences[one]:
            first[name].update(held)
    for name, at in first.items():
        result.met[name] = [_meeting(index, known[name], rows, one) for one in sorted(at)[:shown]]


def _groups(number: Array, place: Array, shown: int) -> Iterator[tuple[int, list[int]]]:
    """For each number the first places where it was met."""
    order = np.lexsort((place, number))
    found, starts = np.unique(number[order], return_index=True)
    ends = [*starts.tolist(), len(order)][1:]
    for one, start, end in zip(found.tolist(), starts.tolist(), ends, strict=True):
        yield one, np.unique(place[order[start : min(end, start + RUN_WORDS * shown)]])[:shown].tolist()


def _meeting(index: _Index, sentence: Sentence, rows: Table, at: int) -> Meeting:
    clip_id, seen = rows["clip_id"][at].as_py(), rows["text"][at].as_py()
    key, held = index.key(characters.words(sentence.text)), index.key(characters.words(seen))
    kind = "exact" if seen == sentence.text else "normalised" if key == held else "contained"
    return Meeting(clip_id, kind if key in held else "runs")


def is_spaceless(language: str) -> bool:
    return language.casefold().replace("_", "-").split("-")[0] in SPACELESS
