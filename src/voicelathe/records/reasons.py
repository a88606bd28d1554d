"""Why something is so, for decisions and for people: a code beside a sentence."""

import re
from typing import Any

CODE = re.compile(r"[\w-]*")  # a plug-in's, too


class Reason(str):
    """A sentence that carries its code. Decisions read `code`; pages and messages show the whole.

    In files it is the one string that people read. That begins with the code, and only `read` takes it apart again.
    """

    code: str

    def __new__(cls, code: str, text: str, between: str = ": ") -> "Reason":
        made = super().__new__(cls, f"{code}{between}{text}")
        made.code = code
        return made

    @classmethod
    def read(cls, written: str) -> "Reason":
        """Out of a file."""
        found = CODE.match(written)
        assert found is not None
        return cls(found[0], written[found.end() :], between="")

    def __reduce__(self) -> tuple[Any, ...]:
        return Reason.read, (str(self),)
