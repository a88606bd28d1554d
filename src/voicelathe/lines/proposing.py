"""Which lines say most about a voice? Half sentences that the speaker really said, half written ones, over all kinds of sentence.

The order is that of a race: the first lines already hold every kind, written and held-out ones in turn, so that whoever hears only
the first block has heard some of everything. The same data and seed give the same pack.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from voicelathe import lines, rng
from voicelathe.data import columns
from voicelathe.data.text import characters, languages
from voicelathe.data.text.overlap import Sentence, find
from voicelathe.lines import shipped, strata
from voicelathe.records import HELD_OUT, STRATA, CleanClip, PackLine

MAIN_SPEAKER = 0.1  # share of the validation clips that makes a speaker a main one
SPEAKING_SHARE = (
    0.8  # of max_seconds that a line may need at the speaker's own pace; more and a slow take is cut off
)
LETTERS_PER_S = 12.0  # where no clip tells the pace
POOL, MAX_POOL = 20, 2000
MAX_HELD_OUT_S = 15.0  # of a real recording that a listener should compare


@dataclass(frozen=True)
class PackSources:
    """What the pack is for."""

    validation: Sequence[CleanClip]
    train: columns.Table  # clip_id and text
    barred: frozenset[str]  # recordings that give the base the speaker's voice
    max_seconds: float  # of the shortest listen.max_seconds
    said: frozenset[str] = frozenset()  # words of texts that are not proposed again


@dataclass
class ProposedPack:
    """The lines, and what could not be had."""

    lines: list[PackLine]
    notes: list[str] = field(default_factory=list)


def propose(corpus: PackSources, num: int, seed: int, include: Sequence[str] = ()) -> ProposedPack:
    """A pack of `num` lines, half of them held out; `include` are ids of shipped lines that must be among the written ones."""
    made = ProposedPack([])
    own = _held_out(corpus, made.notes, seed)
    texts = _written(corpus, own or corpus.validation, made.notes, include)
    wanted = {name: num // len(STRATA) + (place < num % len(STRATA)) for place, name in enumerate(STRATA)}
    held = _choose(own, num // 2, {name: (count + 1) // 2 for name, count in wanted.items()}, seed)
    must = [line for line in texts if line.id in include]
    left = {name: max(0, count - _count(held, name) - _count(must, name)) for name, count in wanted.items()}
    rest = [line for line in texts if line.id not in include]
    written = must + _choose(rest, num - len(held) - len(must), left, seed)
    made.lines = _in_turn(held, written, seed)
    made.notes += _told(made.lines, held, own, corpus, num)
    return made


def _held_out(corpus: PackSources, notes: list[str], seed: int) -> list[PackLine]:
    """Sentences of the main speakers' validation clips that may be lines; of a large split so many that there is a choice."""
    counts = Counter(clip.speaker_id for clip in corpus.validation)
    main = {name for name, count in counts.items() if count >= MAIN_SPEAKER * len(corpus.validation)}
    fit, refused = {}, Counter[str]()
    for clip in sorted(corpus.validation, key=lambda clip: clip.clip_id):
        key = languages.sentence(clip.text, clip.language)
        if clip.speaker_id not in main:
            refused["of a speaker with few clips"] += 1
        elif clip.recording_id in corpus.barred:
            refused[f"of {clip.recording_id}, which gives the base the speaker's voice"] += 1
        elif clip.duration_s > MAX_HELD_OUT_S or clip.duration_s > SPEAKING_SHARE * corpus.max_seconds:
            refused["too long for a line"] += 1
        elif characters.words(clip.text) in corpus.said:
            refused["spoken already"] += 1
        elif not characters.num_spoken_chars(clip.text) or key in fit:
            refused["without words, or with those of another clip"] += 1
        else:
            kind = strata.of(clip.text, clip.language)
            fit[key] = PackLine(
                HELD_OUT + clip.clip_id, clip.text, clip.language, clip.speaker_id, kind, clip.clip_id, clip.recording_id
            )  # fmt: skip
    looked_at = _some(fit.values(), seed)
    found = _untrained(looked_at, corpus.train)
    if len(found) < len(looked_at):
        refused["in the training text (split.same_text_together keeps such clips together)"] += len(
            fit
        ) - len(found)
    notes += [f"{count} validation clips are no lines: {why}." for why, count in sorted(refused.items())]
    return found


def _some(fit: Iterable[PackLine], seed: int) -> list[PackLine]:
    """At most POOL of each kind, language, speaker and recording: whoever is looked for in the training text costs time."""
    by_id, counts = {line.id: line for line in fit}, Counter[tuple[str, ...]]()
    kept: list[PackLine] = []
    for name in rng.shuffled(list(by_id), seed, "lines looked at"):
        line = by_id[name]
        place = (line.stratum, line.language, str(line.speaker), str(line.recording_id))
        counts[place] += 1
        if counts[place] <= POOL and len(kept) < MAX_POOL:
            kept.append(line)
    return kept


def _written(
    corpus: PackSources, said: Sequence[CleanClip | PackLine], notes: list[str], include: Sequence[str]
) -> list[PackLine]:
    """Shipped lines in the corpus's languages that are short enough to be spoken and not in the training text."""
    found: list[PackLine] = []
    for language in sorted({clip.language for clip in said}):
        path = shipped.FOLDER / f"{languages.primary(language)}.jsonl"
        if not path.is_file():
            there = ", ".join(sorted(one.stem for one in shipped.FOLDER.glob("*.jsonl")))
            notes.append(
                f"{language}: no written lines are shipped (there are {there}); write your own into the pack."
            )
            continue
        limit = SPEAKING_SHARE * corpus.max_seconds * _letters_per_s(corpus.validation, language)
        some = [
            line
            for line in lines.read(path)
            if line.id in include
            or (
                characters.usual_letters(line.text) <= limit
                and characters.words(line.text) not in corpus.said
            )
        ]
        found += [_in(line, language) for line in some]
    untrained = _untrained(found, corpus.train)
    if gone := len(found) - len(untrained):
        notes.append(f"{gone} written lines were left out, because they stand in the training text.")
    if unknown := sorted(set(include) - {line.id for line in untrained}):
        notes.append(
            f"not included: {', '.join(unknown)}; no such shipped line in the corpus's languages, or it was trained on."
        )
    return untrained


def _in(line: PackLine, language: str) -> PackLine:
    """The line as one of `en-GB`, which has an id of its own where `en` is spoken, too."""
    from dataclasses import replace

    return line if language == line.language else replace(line, language=language)


def _untrained(some: Sequence[PackLine], train: columns.Table) -> list[PackLine]:
    met = find([Sentence(line.id, line.text, line.language) for line in some], train).shares
    return [line for line in some if line.id not in met]


def _letters_per_s(clips: Iterable[CleanClip], language: str) -> float:
    own = [clip for clip in clips if clip.language == language and clip.duration_s]
    paces = sorted(characters.usual_letters(clip.text) / clip.duration_s for clip in own)
    return paces[len(paces) // 2] if paces else LETTERS_PER_S


def _choose(pool: Sequence[PackLine], num: int, wanted: Mapping[str, int], seed: int) -> list[PackLine]:
    """At most `num` lines: the wanted number of each kind as far as there are, then whatever kind was chosen least.

    Among lines of a kind those of the language, speaker and recording that were chosen least come first.
    """
    shuffled = rng.shuffled([line.id for line in pool], seed, "lines")
    place = {name: at for at, name in enumerate(shuffled)}
    left = {name: [line for line in pool if line.stratum == name] for name in STRATA}
    chosen: list[PackLine] = []
    while len(chosen) < num and any(left.values()):
        missing = {name: wanted[name] - _count(chosen, name) for name in STRATA if left[name]}
        kind = max(missing, key=lambda name: (missing[name], -STRATA.index(name)))
        line = min(left[kind], key=lambda one: (*_used(chosen, one), place[one.id]))
        left[kind].remove(line)
        chosen.append(line)
    return chosen


def _used(chosen: Sequence[PackLine], one: PackLine) -> tuple[int, int, int]:
    return (
        sum(line.language == one.language for line in chosen),
        sum(line.speaker == one.speaker for line in chosen),
        sum(line.recording_id == one.recording_id for line in chosen),
    )


def _count(some: Iterable[PackLine], kind: str) -> int:
    return sum(line.stratum == kind for line in some)


def _in_turn(held: Sequence[PackLine], written: Sequence[PackLine], seed: int) -> list[PackLine]:
    """One line of every kind, then another of every kind; of a kind written and held-out lines in turn, and so from kind to kind."""
    queues = []
    for place, kind in enumerate(STRATA):
        pair = [[line for line in some if line.stratum == kind] for some in (held, written)]
        first, second = pair if place % 2 else pair[::-1]
        queues.append([line for both in zip_longest(first, second) for line in both if line])
    return [line for row in zip_longest(*queues) for line in row if line]


def _told(
    pack: Sequence[PackLine], held: Sequence[PackLine], own: Sequence[PackLine], corpus: PackSources, num: int
) -> Iterator[str]:
    """What the pack lacks, and why."""
    if len(pack) < num:
        yield f"{len(pack)} lines instead of {num}: there are no more that may be used."
    if len(held) < num // 2:
        yield (
            f"{len(held)} held-out lines instead of {num // 2}: {len(own)} validation clips may be lines. More or longer validation "
            "recordings give more."
        )
    shortest = min((strata.size(clip.text, clip.language) for clip in corpus.validation), default=0)
    for kind in STRATA:
        if not _count(own, kind):
            more = (
                f" (the shortest validation clip says {shortest} words or characters)"
                if kind == "short"
                else ""
            )
            yield f"{kind}: no held-out line, because no usable validation clip is of this kind{more}."
        if not _count(pack, kind):
            yield f"{kind}: no line at all."
    for name, field_ in (("language", "language"), ("speaker", "speaker")):
        lacking = {getattr(line, field_) for line in own} - {getattr(line, field_) for line in pack}
        if lacking:
            yield f"{name} {', '.join(sorted(map(str, lacking)))}: no line among so few; ask for more with --num."
