"""What a source gives: rows by our names, and lines that are no rows as they are, so that each keeps its place."""

import math
from collections.abc import Iterable, Iterator, Mapping

from voicelathe import digest

Row = Mapping[str, object]
Line = Row | bytes  # bytes: a line that could not be read; whoever reads the manifest says why


def written(lines: Iterable[Line]) -> Iterator[bytes]:
    """JSON lines; what is no row is kept as it is, on one line."""
    for line in lines:
        if isinstance(line, bytes):
            yield line.replace(b"\n", b" ") + b"\n"
        else:
            named = {key: value for key, value in line.items() if value is not None}
            yield f"{digest.canonical_json(named)}\n".encode()


def seconds(value: object) -> float | None:
    """A finite number; None for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        number = float(value) if is_number else math.nan  # type: ignore[arg-type]
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
