"""What `text` says of one transcript, for a whole column: printable ASCII at once, everything else row by row.

Plain ASCII needs no Unicode, so regular expressions of a few bytes give what the functions of `text` give; a test compares them.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from voicelathe.data import columns, mapped
from voicelathe.data.columns import Column
from voicelathe.data.text import characters, normaliser

# Printable ASCII that `text.num_letters` may count otherwise than by its length.
READ_IN_SEVERAL_WAYS = (
    r"[0-9%$&+=@#*/<>]|[^0-9A-Za-z_ ]{2}|(^| )[^0-9A-Za-z ]+( |$)| [^0-9A-Za-z ]|_"
    r"|(^|[^0-9A-Za-z])([A-Z]{2,5}|[b-df-hj-np-tv-xzB-DF-HJ-NP-TV-XZ]{2,5})([^0-9A-Za-z]|$)|^\W*[A-Za-z]\W*$"
    r"|(^|[^0-9A-Za-z])[A-Za-z] [A-Za-z] [A-Za-z]([^0-9A-Za-z]|$)"
    r"|(?i)(^|\W)(dr|mrs?|ms|st|prof|etc|e\.g|i\.e|no|nr|vs|approx|z\. ?b|usw|bzw|ca|sra?|sig|mme|mlle|m|p)\."
)


def is_simple(column: Column) -> Column:
    """Whether a text holds nothing but printable ASCII; null is not simple."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.match_substring_regex(column, "^[ -~]*$"), False)


def plain(column: Column) -> Column:
    """`text.plain` of every text; null stays null."""
    return _by_pieces(_plain, column)


def _plain(column: Column) -> Column:
    import pyarrow.compute as pc

    fast = pc.utf8_trim(pc.replace_substring_regex(column, " +", " "), " ")
    return _others(column, fast, characters.plain)


def normalised(column: Column) -> Column:
    """`normaliser.text_of` of every text; null stays null."""
    return _by_pieces(_normalised, column)


def _normalised(column: Column) -> Column:
    import pyarrow.compute as pc

    is_simple = pc.match_substring_regex(column, normaliser.SIMPLE)
    odd = pc.or_(pc.match_substring(column, "&"), pc.match_substring(column, "\\"))
    hard = pc.fill_null(pc.or_(pc.invert(is_simple), odd), False)
    return _replaced(column, column, hard, normaliser.text_of)


def num_letters(column: Column) -> tuple[Any, Any]:
    """`text.num_letters` of every text, the fewest and the most; null is NaN."""
    fewest, most = zip(*(_num_letters(piece) for _, piece in columns.pieces(column)), strict=True)
    return np.concatenate(fewest), np.concatenate(most)


def _num_letters(column: Column) -> tuple[Any, Any]:
    import pyarrow
    import pyarrow.compute as pc

    length = pc.utf8_length(_plain(column)).cast(pyarrow.float64())
    counted = pc.match_substring_regex(column, READ_IN_SEVERAL_WAYS)
    hard = pc.fill_null(pc.or_(pc.invert(is_simple(column)), counted), False)
    held = column.filter(hard).to_pylist()
    pairs = [characters.num_letters(some) for some in held]
    found = []
    for at in (0, 1):
        values = np.maximum(length.to_numpy(), 1.0)
        values[np.asarray(hard.to_numpy())] = [pair[at] for pair in pairs]
        found.append(values)
    return found[0], found[1]


def words(column: Column) -> Column:
    """`text.words` of every text; null stays null."""
    return _by_pieces(_words, column)


def _words(column: Column) -> Column:
    import pyarrow.compute as pc

    folded = pc.replace_substring(pc.ascii_lower(column), "'", "")
    spaced = pc.ascii_trim(pc.replace_substring_regex(folded, "[^0-9a-z]+", " "), " ")
    return _others(column, pc.binary_join_element_wise(" ", spaced, " ", ""), characters.words)


def num_spoken_chars(column: Column) -> Column:
    """`text.num_spoken_chars` of every text; 0 for null."""
    return _by_pieces(_num_spoken_chars, column)


def _num_spoken_chars(column: Column) -> Column:
    import pyarrow
    import pyarrow.compute as pc

    said = pc.replace_substring_regex(column, "[^0-9A-Za-z]+", "")
    fast = pc.fill_null(pc.binary_length(said), 0).cast(pyarrow.int64())
    return _others(column, fast, characters.num_spoken_chars)


def _by_pieces(judge: Callable[[Column], Column], column: Column) -> Column:
    parts = (judge(piece) for _, piece in columns.pieces(column))
    first = next(parts)
    return mapped.column(chain([first], parts), first.type)


def _others(column: Column, fast: Column, slow: Callable[[str], Any]) -> Column:
    """`fast` where texts are simple, `slow` of the text where they are not."""
    import pyarrow.compute as pc

    return _replaced(column, fast, pc.and_(pc.invert(is_simple(column)), pc.is_valid(column)), slow)


def _replaced(column: Column, fast: Column, hard: Column, slow: Callable[[str], Any]) -> Column:
    """`fast`, but `slow` of the text where `hard`."""
    import pyarrow
    import pyarrow.compute as pc

    if not pc.any(hard).as_py():
        return fast
    found = [slow(one) for one in column.filter(hard).to_pylist()]
    values = pc.replace_with_mask(
        fast.combine_chunks(), hard.combine_chunks(), pyarrow.array(found, fast.type)
    )
    return pyarrow.chunked_array([values])
