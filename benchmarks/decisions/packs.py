"""What do candidates say? 64 lines that decisions hear, and 60 of the oracle that no decision ever sees.

Both ask the same question, or the oracle would not judge the decision but the choice of its lines: a quarter are plain sentences that
the grammar of the embedded base does not write (the decision's from the shipped English list, the oracle's written here), the rest is
of that grammar, from two seeds. `stranger` names those that a training or validation text holds.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from pretrain import texts
from voicelathe import lines
from voicelathe.data.text import characters
from voicelathe.lines import shipped, strata
from voicelathe.records import PackLine

NUM_DECISION, NUM_ORACLE = 64, 60
DECISION_SEED, ORACLE_SEED = 40_301, 40_302
PLAIN = ("sentence", "question")  # kinds of the shipped list that the oracle's written lines are of, too
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


def decision() -> list[PackLine]:
    """In the order of a race: two plain sentences in every block of eight."""
    plain = [line for line in lines.read(shipped.FOLDER / "en.jsonl") if line.stratum in PLAIN]
    written = iter(_grammar("decision", NUM_DECISION - len(plain), DECISION_SEED))
    return [line for one in plain for line in (one, *islice(written, 3))]


def oracle(num: int = NUM_ORACLE) -> list[PackLine]:
    """The first `num` of the oracle's lines."""
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
