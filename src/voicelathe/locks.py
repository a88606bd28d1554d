"""A lock between processes of one machine that never waits in silence: it says whom it waits for, and gives up.

The kernel releases a flock when its holder dies, however it dies; what is written into the file is only the holder's name.
"""

import fcntl
import getpass
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from voicelathe.errors import PromotionError

EVERY_S = 0.1
TELL_S = 3.0  # then say whom we wait for
LIMIT_S = 120.0


@contextmanager
def held(path: Path, busy: str) -> Iterator[None]:
    """Hold a file. Raises PromotionError naming the holder after LIMIT_S, and for a place that cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as problem:
        raise PromotionError(
            f"{path.parent} cannot be written ({problem.strerror}), so nothing was changed. Correct its permissions, or do it as the user "
            "who owns it."
        ) from None
    with file:
        _take(file, busy)
        file.truncate(0)
        file.write(f"{getpass.getuser()}, process {os.getpid()}")
        file.flush()
        yield


def _take(file: IO[str], busy: str) -> None:
    began, told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waited_s = time.monotonic() - began
        if waited_s > LIMIT_S:
            raise PromotionError(
                f"{busy} by {_holder(file)}, and has been for {LIMIT_S:g} s. Wait for it, or end it; nothing was changed."
            )
        if waited_s > TELL_S and not told:
            told = True
            print(f"{busy} by {_holder(file)}; waiting up to {LIMIT_S:g} s.", file=sys.stderr)
        time.sleep(EVERY_S)


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "another process"
