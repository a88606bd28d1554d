"""How commands print: rich tables on a terminal, plain aligned text everywhere else, so that output can be piped and tested."""

import sys
import unicodedata
from collections.abc import Sequence

from voicelathe.data.text.characters import BIDI_CONTROLS
from voicelathe.redaction import redacted

Row = Sequence[str]


def say(text: str = "") -> None:
    """One line or paragraph on stdout, without passwords and keys, and without what a terminal would obey."""
    print(visible(redacted(text)), flush=True)


def visible(text: str) -> str:
    """Control characters and those that turn the direction of writing as escapes: logs and files of strangers are quoted."""
    return "".join(one if one in "\n\t" or not _is_control(one) else repr(one)[1:-1] for one in text)


def _is_control(one: str) -> bool:
    return one in BIDI_CONTROLS or unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")


def is_terminal() -> bool:
    """Whether a person can be asked: both input and output are terminals."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def table(title: str, columns: Row, rows: Sequence[Row]) -> None:
    """Print rows under a title. The first column is left-aligned; a column of numbers is right-aligned."""
    if sys.stdout.isatty():
        _rich(title, columns, rows)
    else:
        say(plain(title, columns, rows))


def plain(title: str, columns: Row, rows: Sequence[Row]) -> str:
    """The table as text: two spaces between columns, no colours."""
    widths = [max(len(row[at]) for row in [columns, *rows]) for at in range(len(columns))]
    numeric = _numeric(columns, rows)
    lines = [title] if title else []
    for row in [columns, *rows]:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def size(num_bytes: float) -> str:
    """Bytes for people, in powers of 1000: 4.6 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def _rich(title: str, columns: Row, rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title or None, title_justify="left")
    for column, right in zip(columns, _numeric(columns, rows), strict=True):
        drawn.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(
            *(Text(visible(redacted(cell))) for cell in row)
        )  # Text: a bracket in a path is no markup
    Console().print(drawn)


def _numeric(columns: Row, rows: Sequence[Row]) -> list[bool]:
    return [bool(rows) and all(_is_number(row[at]) for row in rows) for at in range(len(columns))]


def _is_number(cell: str) -> bool:
    return cell in ("", "-") or cell.replace(",", "").replace(".", "", 1).lstrip("+-").isdigit()
