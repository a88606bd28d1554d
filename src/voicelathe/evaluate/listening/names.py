"""Are two names one person's?

Names are compared as they look: case, compatibility forms, invisible characters and letters of other scripts that cannot be told from Latin
ones make no other person. Whoever types a wholly different name is not found.
"""

from voicelathe.data.text import characters

LIKE_LATIN = str.maketrans(  # the letters of Cyrillic and Greek in Unicode's list of confusables (UTS 39) that names consist of
    "асеоурхіјѕԁһӏκουντραεη",
    "aceoypxijsdhlkouvtpaen",
)


def seen(name: str) -> str:
    """What a reader takes the name for."""
    return characters.plain(name).casefold().translate(LIKE_LATIN)
