"""One promoter at a time, whichever checkout of the project and whichever machine it works on.

MLflow has no lock, but the name of a registered model is unique in its database: who creates NAME.promotion holds the lock and
deletes it afterwards. Promoters on one machine wait for each other in front of that, on a file the kernel releases when they die.
"""

import getpass
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from voicelathe import digest, locks
from voicelathe.errors import PromotionError
from voicelathe.tracking.live import processes
from voicelathe.tracking.registered import Registered
from voicelathe.tracking.store import is_absent, mlflow

LIMIT_S = 60.0
EVERY_S = 0.2
HOLDER, BY = "voicelathe.holder", "voicelathe.by"


@contextmanager
def held(models: Registered) -> Iterator[None]:
    """Hold the lock of a registered model. Raises PromotionError naming the holder when it stays taken for a minute.

    A lock left by a process of this machine that is dead is taken over; one of another machine must be removed by hand.
    """
    client, name = models.store.client, f"{models.name}.promotion"
    with _turn(models):
        _take(client, name)
        try:
            yield
        finally:
            if (
                _holder(client, name)[0] == processes.mark()
            ):  # or somebody removed it by hand, and another took it
                client.delete_registered_model(name)


@contextmanager
def _turn(models: Registered) -> Iterator[None]:
    place = digest.of_value([models.store.uri, models.name])[:16]
    path = Path(tempfile.gettempdir()) / f"voicelathe-{os.getuid()}-{place}.lock"
    with locks.held(path, "Somebody on this machine is promoting; the lock is held"):
        yield


def _take(client: Any, name: str) -> None:
    end, told = time.monotonic() + LIMIT_S, False
    while not _create(client, name):
        holder, who = _holder(client, name)
        if not told and time.monotonic() > end - LIMIT_S + locks.TELL_S:
            told = True
            print(f"{who} ({holder}) is promoting; waiting up to {LIMIT_S:g} s.", file=sys.stderr)
        if holder and processes.is_dead(holder):
            client.delete_registered_model(name)
        elif time.monotonic() > end:
            raise PromotionError(
                f"{who} ({holder}) has been promoting for {LIMIT_S:g} s. Wait, and try again; if that process is dead, delete the "
                f"registered model {name!r} in MLflow: it is nothing but a lock."
            )
        else:
            time.sleep(EVERY_S)


def _create(client: Any, name: str) -> bool:
    try:
        client.create_registered_model(
            name, {HOLDER: processes.mark(), BY: getpass.getuser()}, "A promotion is under way."
        )
    except mlflow("mlflow.exceptions").MlflowException as problem:
        if problem.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return False
    return True


def _holder(client: Any, name: str) -> tuple[str, str]:
    """Mark and name of the holder; empty when it let go just now."""
    try:
        tags = client.get_registered_model(name).tags
    except mlflow("mlflow.exceptions").MlflowException as problem:
        if not is_absent(problem):
            raise
        return "", ""
    return tags.get(HOLDER, ""), tags.get(BY, "somebody")
