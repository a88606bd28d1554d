"""The 36 source recordings of the demo corpus: what is said in each, where, and which rows are cut from them.

A recording is 15 sentences with pauses between them. Most become one row each, clean or without its text;
the rest host the planted faults that need no file of their own. No two rows share audio, except the copies
and overlaps that are planted.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from speech import RATE_HZ, Line, Room, Samples, gain, in_room, silence

NUM_RECORDINGS, SENTENCES_EACH = 36, 15
VOICE = "lark"
EMPTY_TEXTS = ["", "  ", "\u200b", "...", None]
BOILERPLATE = ["Thanks for watching!", "Please subscribe", "[Music]"]
SPAN, BLOCK = 4, 3  # sentences that one too long row covers; sentences whose texts are rotated together
NUM_FRAGMENTS = 15  # of 12 to 95 ms, three from one sentence
# Sentences by what becomes of them; all others are clean. The kinds that need neighbours are placed first.
SINGLES = {"empty_text": 184, "boilerplate": 3, "sub_100_ms": NUM_FRAGMENTS // 3, "too_short_for_text": 6}
BLOCKS = {"too_long_for_text": (4, SPAN), "wrong_text": (2, BLOCK)}


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the manifest, before it has a number. An exact copy is not equal to its original."""

    kind: str
    audio: str
    text: str | None
    recording_id: str
    start_s: float | None = None
    end_s: float | None = None
    copy_of: "Row | None" = None


@dataclass(frozen=True)
class Recording:
    """One source file and, for each of its sentences, the kind of row that it serves."""

    recording_id: str
    room: Room
    lines: list[Line]
    kinds: list[str]

    @property
    def audio(self) -> str:
        return f"{self.recording_id}.opus"


@dataclass(frozen=True)
class Take:
    """A recording as spoken: its samples, and where each sentence lies in them."""

    recording: Recording
    samples: Samples
    spans_s: list[tuple[float, float]]
    factor: float  # gain of its room; speech in files of their own gets the same


def plan(texts: list[str], seed: int) -> list[Recording]:
    """The recordings of these texts. Stretch, tilt and level differ from one recording to the next."""
    rng = random.Random(f"{seed}/recordings")
    kinds = assign(rng)
    made = []
    for index in range(NUM_RECORDINGS):
        recording_id = f"rec_{index + 1:02d}"
        stretch, tilt, peak = rng.uniform(0.92, 1.08), rng.uniform(-0.3, 0.3), rng.uniform(-9.0, -3.0)
        room = Room(f"{seed}/{recording_id}", round(stretch, 3), round(tilt, 3), round(peak, 2))
        said = texts[index * SENTENCES_EACH : (index + 1) * SENTENCES_EACH]
        lines = [Line(text, VOICE, room.stretch) for text in said]
        made.append(Recording(recording_id, room, lines, kinds[index]))
    return made


def assign(rng: random.Random) -> list[list[str]]:
    """A kind for every sentence of every recording."""
    table = [[""] * SENTENCES_EACH for _ in range(NUM_RECORDINGS)]
    blocks = [(kind, length) for kind, (number, length) in BLOCKS.items() for _ in range(number)]
    for index, (kind, length) in zip(rng.sample(range(NUM_RECORDINGS), len(blocks)), blocks, strict=True):
        at = rng.randrange(SENTENCES_EACH - length + 1)
        table[index][at : at + length] = [kind] * length
    free = [(index, at) for index, kinds in enumerate(table) for at, kind in enumerate(kinds) if not kind]
    planted = [kind for kind, number in SINGLES.items() for _ in range(number)]
    singles = planted + ["clean"] * (len(free) - len(planted))
    rng.shuffle(singles)
    for (index, at), kind in zip(free, singles, strict=True):
        table[index][at] = kind
    return table


def record(recording: Recording, spoken: dict[Line, Samples], seed: int) -> Take:
    """The sentences one after the other, with 0.25 to 0.7 s between them and at both ends."""
    rng = random.Random(f"{seed}/gaps/{recording.recording_id}")
    pieces, spans_s = [silence(rng.uniform(0.25, 0.7))], []
    for line in recording.lines:
        start = sum(map(len, pieces))
        pieces += [spoken[line], silence(rng.uniform(0.25, 0.7))]
        spans_s.append((start / RATE_HZ, (start + len(spoken[line])) / RATE_HZ))
    speech = np.concatenate(pieces)
    factor = gain(speech, recording.room)
    return Take(recording, in_room(speech, recording.room, factor, "whole"), spans_s, factor)


def rows(takes: list[Take], seed: int) -> list[Row]:
    """All rows cut from the recordings, copies and overlaps included."""
    rng = random.Random(f"{seed}/rows")
    cut = [row for take in takes for row in slices(take)]
    clean = rng.sample([row for row in cut if row.kind == "clean"], 11)
    filled = list(with_faults(cut, rng))
    copies = [replace(row, kind="exact_copy", copy_of=row) for row in clean[:5]]
    return filled + copies + list(overlaps(clean[5:]))


def slices(take: Take) -> Iterator[Row]:
    """One row for each sentence, or for each block of sentences that make a row together."""
    recording = take.recording
    whole = [
        Row(kind, recording.audio, line.text, recording.recording_id, *span)
        for kind, line, span in zip(recording.kinds, recording.lines, take.spans_s, strict=True)
    ]
    yield from (row for row in whole if row.kind not in BLOCKS)
    if shifted := [row for row in whole if row.kind == "wrong_text"]:
        next_texts = [row.text for row in [*shifted[1:], shifted[0]]]
        yield from (replace(row, text=text) for row, text in zip(shifted, next_texts, strict=True))
    if joined := [row for row in whole if row.kind == "too_long_for_text"]:
        shortest = min((row.text or "" for row in joined), key=len)
        yield replace(joined[0], text=shortest, end_s=joined[-1].end_s)


def with_faults(cut: list[Row], rng: random.Random) -> Iterator[Row]:
    """The rows, with the faults that are in a text or in the bounds of one slice."""
    empties, phrases = iter(shuffled_empties(rng)), iter(BOILERPLATE)
    lengths_s = [round(float(length_s), 3) for length_s in np.linspace(0.012, 0.095, NUM_FRAGMENTS)]
    rng.shuffle(lengths_s)
    for row in cut:
        if row.kind == "empty_text":
            yield replace(row, text=next(empties))
        elif row.kind == "boilerplate":
            yield replace(row, text=next(phrases))
        elif row.kind == "sub_100_ms":
            yield from fragments(row, [lengths_s.pop() for _ in range(3)])
        elif row.kind == "too_short_for_text":
            yield replace(row, end_s=round(start_of(row) + len(row.text or "") / rng.uniform(29, 35), 2))
        else:
            yield row


def shuffled_empties(rng: random.Random) -> list[str | None]:
    """Every way to leave a text empty, as often as any other (to one row)."""
    texts = [EMPTY_TEXTS[index % len(EMPTY_TEXTS)] for index in range(SINGLES["empty_text"])]
    rng.shuffle(texts)
    return texts


def fragments(row: Row, lengths_s: list[float]) -> Iterator[Row]:
    """Three slivers of a sentence, each with a third of its words, as a failed aligner leaves them."""
    words = (row.text or "").split()
    for index, length_s in enumerate(lengths_s):
        part = words[len(words) * index // 3 : len(words) * (index + 1) // 3]
        start_s = round(start_of(row) + 0.3 + 0.5 * index, 2)
        yield replace(row, text=" ".join(part), start_s=start_s, end_s=round(start_s + length_s, 3))


def overlaps(originals: list[Row]) -> Iterator[Row]:
    """A second row over nearly the same audio as a clean one; every other one spells its text differently."""
    shifts_s = [(-0.1, 0.1), (0.05, 0.1), (-0.1, -0.05), (0.0, 0.1), (-0.05, 0.0), (0.1, 0.1)]
    for index, (row, (before_s, after_s)) in enumerate(zip(originals, shifts_s, strict=True)):
        assert row.end_s is not None
        text = (row.text or "").lower().rstrip(".?!").replace(",", "") if index % 2 else row.text
        start_s, end_s = round(start_of(row) + before_s, 2), round(row.end_s + after_s, 2)
        yield replace(row, kind="overlap", text=text, start_s=start_s, end_s=end_s, copy_of=row)


def start_of(row: Row) -> float:
    assert row.start_s is not None
    return row.start_s
