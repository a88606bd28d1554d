"""What `text` says of one transcript, for a whole column: printable ASCII at once, everything else row by row.

Plain ASCII needs no Unicode, so regular expressions of a few bytes give what the functions of `text` give; a test compares them.
"""

from collections.abc import Callable
from typing import Any

from voicelathe.data import text
from voicelathe.data.columns import Column


def is_simple(column: Column) -> Column:
    """Whether a text holds nothing but printable ASCII; null is not simple."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.match_substring_regex(column, "^[ -~]*$"), False)


def plain(column: Column) -> Column:
    """`text.plain` of every text; null stays null."""
    import pyarrow.compute as pc

    fast = pc.utf8_trim(pc.replace_substring_regex(column, " +", " "), " ")
    return _others(column, fast, text.plain)


def num_letters(column: Column) -> Column:
    """`text.num_letters` of every text; null stays null."""
    import pyarrow
    import pyarrow.compute as pc

    return _others(column, pc.utf8_length(plain(column)).cast(pyarrow.float64()), text.num_letters)


def words(column: Column) -> Column:
    """`text.words` of every text; null stays null."""
    import pyarrow.compute as pc

    folded = pc.replace_substring(pc.ascii_lower(column), "'", "")
    spaced = pc.ascii_trim(pc.replace_substring_regex(folded, "[^0-9a-z]+", " "), " ")
    return _others(column, pc.binary_join_element_wise(" ", spaced, " ", ""), text.words)


def num_spoken_chars(column: Column) -> Column:
    """`text.num_spoken_chars` of every text; 0 for null."""
    import pyarrow
    import pyarrow.compute as pc

    said = pc.replace_substring_regex(column, "[^0-9A-Za-z]+", "")
    fast = pc.fill_null(pc.binary_length(said), 0).cast(pyarrow.int64())
    return _others(column, fast, text.num_spoken_chars)


def _others(column: Column, fast: Column, slow: Callable[[str], Any]) -> Column:
    """`fast` where texts are simple, `slow` of the text where they are not."""
    import pyarrow
    import pyarrow.compute as pc

    hard = pc.and_(pc.invert(is_simple(column)), pc.is_valid(column))
    if not pc.any(hard).as_py():
        return fast
    found = [slow(one) for one in column.filter(hard).to_pylist()]
    values = pc.replace_with_mask(
        fast.combine_chunks(), hard.combine_chunks(), pyarrow.array(found, fast.type)
    )
    return pyarrow.chunked_array([values])
