"""What do candidates say? A pool of 124 lines; of each fine-tune 64 of them, drawn at random, are for decisions and 60 for the oracle.

Decision and oracle ask of the same kinds of lines, or the oracle would judge the choice of lines: in both a quarter are plain sentences
that the grammar of the embedded base does not write (shipped ones and some written here), the rest is of that grammar. Every fine-tune
draws anew, because all have the same base: what it happens to say well on one draw would count in every one of them.
`stranger` names lines that a training or validation text holds.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from pretrain import texts
from voicelathe import lines, rng
from voicelathe.data.text import characters
from voicelathe.lines import shipped, strata
from voicelathe.records import PackLine

NUM_DECISION, NUM_ORACLE = 64, 60
DECISION_SEED, ORACLE_SEED, DRAW_SEED = 40_301, 40_302, 40_303
PLAIN = ("sentence", "question")  # kinds of the shipped list that those written here are of, too
WRITTEN = """
The old man opened the window after dinner.
A cold wind came over the hill and the children ran home.
My brother has never liked the colour of that kitchen.
The last train was late, so we walked along the river.
Put the letters on the shelf beside the clock.
Nobody at the table knew what to say next.
The baker closes early when it rains all day.
She found her keys under a pile of wet coats.
Could you hold the door while I carry this box?
The road to the village is steep and very narrow.
We waited an hour, and then the doctor called our names.
There is fresh bread in the oven and soup on the stove.
He wrote the same word three times and tore the page.
The dog slept by the fire until the guests had left.
In the morning the whole garden was white with frost.
Please tell your sister that the bridge is open again.
""".strip().splitlines()


def pool() -> list[PackLine]:
    """Everything that candidates say."""
    shown = [line for line in lines.read(shipped.FOLDER / "en.jsonl") if line.stratum in PLAIN]
    return [*shown, *_grammar("decision", NUM_DECISION - len(shown), DECISION_SEED), *oracle()]


def drawn(case: str, number: int = 0) -> tuple[list[PackLine], list[PackLine]]:
    """The decision's lines of a fine-tune, in the order of a race with two plain sentences in every block of eight, and the oracle's.

    `number`: which of many draws.
    """
    everything = {line.id: line for line in pool()}
    plain, written = (
        [everything[name] for name in rng.shuffled(kind, DRAW_SEED, "draw", case, number)]
        for kind in (
            [name for name in everything if not is_grammar(name)],
            [name for name in everything if is_grammar(name)],
        )
    )
    size = NUM_DECISION // 4
    block = iter(written[: 3 * size])
    decision = [line for each in plain[:size] for line in (each, *islice(block, 3))]
    return decision, [*plain[size:], *written[3 * size :]]


def is_grammar(line_id: str) -> bool:
    return "-grammar-" in line_id


def oracle(num: int = NUM_ORACLE) -> list[PackLine]:
    """Lines for the oracle of a finished project, which trained on other texts: the first `num`."""
    written = [_line(f"oracle-written-{at:02d}", said) for at, said in enumerate(WRITTEN, 1)]
    return [*written, *_grammar("oracle", NUM_ORACLE - len(written), ORACLE_SEED)][:num]


def strangers(pack: Iterable[PackLine], known: Iterable[str]) -> list[str]:
    """Ids of the lines whose words some known text says, too."""
    said = {characters.words(one) for one in known}
    return [line.id for line in pack if characters.words(line.text) in said]


def parts(pack: Sequence[PackLine], size: int) -> Iterator[Sequence[PackLine]]:
    """Disjoint decisions of `size` lines each, in order; what is left over is not used."""
    for start in range(0, len(pack) - size + 1, size):
        yield pack[start : start + size]


def _grammar(name: str, num: int, seed: int) -> list[PackLine]:
    apart = {*texts.kept_apart(), *(line.text for line in lines.read(shipped.FOLDER / "en.jsonl"))}
    said = [one for one in texts.grammar().write(2 * num, seed) if one not in apart]
    return [_line(f"{name}-grammar-{at:02d}", one) for at, one in enumerate(said[:num], 1)]


def _line(name: str, said: str) -> PackLine:
    return PackLine(name, said, "en", None, strata.of(said, "en"), None, None)
