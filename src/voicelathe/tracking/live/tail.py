"""Follow a file that another process appends to, and starts over after a kill."""

from pathlib import Path
from typing import BinaryIO


class Tail:
    """The complete lines of a growing file, each given out once.

    A resumed worker cuts its journal back to the restored step. That is noticed because the last line given out no
    longer stands where it stood; everything is then read again from the beginning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._last = b""

    def read(self) -> tuple[bool, list[bytes]]:
        """(whether reading started over, the lines since the last call). A file that is not there yet has none."""
        if not self.path.is_file():
            return False, []
        with self.path.open("rb") as file:
            over = self._was_cut(file)
            if over:
                self._offset, self._last = 0, b""
            file.seek(self._offset)
            whole, newline, _torn = file.read().rpartition(b"\n")
        if not newline:
            return over, []
        lines = whole.split(b"\n")
        self._offset += len(whole) + 1
        self._last = lines[-1] + b"\n"
        return over, lines

    def _was_cut(self, file: BinaryIO) -> bool:
        file.seek(self._offset - len(self._last))
        return file.read(len(self._last)) != self._last
