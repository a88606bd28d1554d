"""What is said in the demo corpus: short everyday English sentences from a template grammar, all different.

The words and templates are our own, so the project owns the licence of the text. Every word is in the CMU
pronouncing dictionary. Each list of words is dealt like a deck of cards: all its words are used before one
is used again, so the vocabulary is wide (and the vowels and consonants with it) even in a small corpus.
"""

import random
import re

MIN_CHARS, MAX_CHARS = 40, 72  # 2 to 4.5 s in the voice awb: short clips train fast

WORDS = {
    "person": """
        teacher farmer doctor sailor painter baker captain shepherd carpenter neighbor traveler student
        singer driver nurse gardener cook lawyer plumber pilot soldier waiter butcher librarian engineer
        mayor author judge tailor fisherman mother father uncle cousin daughter brother sister child
        stranger guest visitor boy girl officer clerk dancer""",
    "name": """
        Anna Peter Maria David Sarah Thomas Julia Henry Alice Robert Emma George Laura Martin Helen Oliver
        Grace Simon Ruth Victor Clara Joseph Diana Philip""",
    "thing": """
        basket ladder blanket candle mirror camera letter lantern kettle engine bottle hammer pillow
        ticket jacket wallet bucket violin guitar piano clock lamp chair table drawer suitcase umbrella
        newspaper notebook pencil scissors carpet curtain window door wheel bicycle boat wagon rope shovel
        whistle button needle thread ring coin map parcel envelope picture statue machine radio telephone
        towel broom brush knife spoon plate bowl cup jar box bag shirt coat scarf hat glove shoe belt
        watch toy kite drum flag tent oven stove shelf desk couch cushion vase key lock bell""",
    "food": """
        bread butter cheese honey soup rice pepper sugar coffee chocolate salad pudding jam cake pie milk
        juice porridge chicken fish sausage cabbage onion potato tomato carrot pumpkin apple orange lemon
        cherry peach pear plum strawberry walnut garlic mushroom vinegar yogurt""",
    "animal": """
        horse donkey sheep goat rabbit squirrel fox badger wolf bear eagle owl sparrow pigeon duck goose
        turtle frog spider beetle butterfly kitten puppy cow pig mouse lion tiger elephant camel monkey
        dolphin whale salmon""",
    "place": """
        river garden harbor market mountain village bridge forest kitchen station island meadow cottage
        tower castle orchard valley beach library school hospital church theater museum airport factory
        office bakery garage attic cellar stable barn lake desert highway square fountain playground
        courtyard hallway balcony bedroom hotel cafe farm pond hill""",
    "adjective": """
        quiet bright narrow heavy gentle yellow silver broken careful distant early frozen golden hollow
        lonely modern nervous ordinary patient pleasant rough shallow simple sudden tender thick tiny warm
        wooden young green purple orange crimson dusty clean fresh rusty smooth sharp round square ancient
        cheap curious dangerous famous foolish fragile friendly huge lazy loud lovely muddy peculiar
        polite proud rare shiny sleepy slippery small sour strange striped tall wet wicked wild""",
    "did": """
        carried followed opened painted watched repaired borrowed measured noticed finished gathered
        ignored lifted moved ordered passed pushed reached saved visited bought brought caught chose
        cleaned covered described drew dropped examined fetched found forgot guarded hid inspected judged
        kept knew left lost loved made mended missed needed offered owned packed pulled recognized
        remembered returned searched sold studied stole touched tried used wanted washed wrapped""",
    "do": """
        carry follow open paint watch repair borrow measure check finish gather ignore lift move order
        push save visit buy bring catch choose clean cover describe draw examine fetch find guard hide
        mend move pack pull return sell steal study touch use wash wrap""",
    "where": "behind beside near under above across around beyond outside inside",
    "how": """
        slowly quickly softly loudly often seldom again carefully calmly gladly twice once happily quietly
        badly bravely easily finally gently neatly proudly rarely suddenly""",
    "when": """
        today yesterday tonight on_Monday on_Thursday at_noon at_midnight in_April in_October
        before_breakfast after_lunch this_evening every_morning last_winter in_the_autumn on_the_weekend
        an_hour_ago""",
    "number": "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty fifty",
    "weather": "rain snow thunder fog frost wind sunshine hail",
    "colour": "red blue white black brown gray pink green",
}

TEMPLATES = """
The {adjective} {person} {did} the {thing} {where} the {place}.
{name} {did} a {adjective} {thing} {where} the {place}.
Please bring the {thing} {where} the {adjective} {place}.
Why did the {person} leave the {place} {how}?
{name} {did} the {thing} {how}, and {name} {did} the {thing}.
There was a {adjective} {animal} {where} the {place}.
When the {person} {did} the {thing}, nobody {did} the {food}.
I think the {animal} should stay {where} the {place}.
We {did} the {adjective} {thing} {when}.
If the {thing} is {adjective}, keep it {where} the {place}.
Nobody {did} the {colour} {thing}, not even the {person}.
Can you {do} the {thing} {when}?
They had {food} and {food} {when}.
The {animal} and the {animal} slept {where} the {place}.
She paid {number} dollars for the {adjective} {thing}.
Did {name} really {do} the {adjective} {thing}?
My {person} likes {food} with {food}.
The {weather} began {when}, so we {did} the {thing}.
He never {did} the {food} {when}.
How many {colour} boxes did the {person} {do}?
{name} asked the {person} to {do} the {thing}.
You could {do} the {thing} or {do} the {thing}.
A {adjective} {animal} ran {where} the {colour} {thing}.
It takes {number} minutes to {do} the {thing}.
Where is the {adjective} {thing} that {name} {did}?
The {person} from the {place} {did} the {food} {how}.
Don't {do} the {thing} before the {weather} stops.
Our {person} {did} {number} letters {when}.
What a {adjective} {animal} {name} {did} {when}!
Let us {do} the {thing} and eat some {food}.
The {place} is {number} miles from the {adjective} {place}.
I would rather {do} the {thing} than the {food}.
""".strip().splitlines()


def write(num_sentences: int, seed: int) -> list[str]:
    """Different sentences of MIN_CHARS to MAX_CHARS, in a random order that the seed decides."""
    rng = random.Random(f"{seed}/sentences")
    decks = {kind: Deck(words.split(), rng) for kind, words in WORDS.items()}
    templates = Deck(TEMPLATES, rng)
    written: dict[str, None] = {}
    while len(written) < num_sentences:
        sentence = fill(templates.draw(), decks)
        if MIN_CHARS <= len(sentence) <= MAX_CHARS:
            written[sentence] = None
    return list(written)


class Deck:
    """Deals all its words in random order before it deals one again."""

    def __init__(self, words: list[str], rng: random.Random) -> None:
        self.words, self.rng = sorted(set(words)), rng
        self.left: list[str] = []

    def draw(self) -> str:
        if not self.left:
            self.left = self.rng.sample(self.words, len(self.words))
        return self.left.pop()


def fill(template: str, decks: dict[str, Deck]) -> str:
    """Draw a word for every {kind}, then put the article right."""
    words = re.sub(r"\{(\w+)\}", lambda match: decks[match[1]].draw().replace("_", " "), template)
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", words)
