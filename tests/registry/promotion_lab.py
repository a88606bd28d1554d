"""Promotions that are killed and promotions that race, each in a process forked from one that has imported everything.

Run as `python -m tests.registry.promotion_lab short|crash|crash-everywhere|race|race-checkouts PROJECT ...`; prints one JSON object a trial. Forks happen before any
store is opened, so no connection is shared.
"""

import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.factories import mlflow_stores
from voicelathe import digest
from voicelathe.errors import PromotionError
from voicelathe.registry import promote, promoted
from voicelathe.registry.history import journal
from voicelathe.tracking import registered, store

RECIPE, NAME = "mini-lora", "voicelathe"
FORK = multiprocessing.get_context("fork")
WRITES = (
    *("log_model_artifacts", "set_logged_model_tags", "create_registered_model", "create_model_version"),
    *(
        "set_registered_model_alias",
        "set_model_version_tag",
        "update_model_version",
        "delete_registered_model",
    ),
)


def in_child(work: Callable[[], Any]) -> Any:
    """Do something in a forked process; None when it was killed."""
    receiving, sending = FORK.Pipe(duplex=False)
    process = FORK.Process(target=lambda: sending.send(work()))
    process.start()
    sending.close()
    try:
        return receiving.recv()
    except EOFError:
        return None
    finally:
        process.join()


def put(root: Path, candidate: str, **more: Any) -> str:
    return promote.promote(RECIPE, root, "in the lab", candidate, **more).version


def look(root: Path) -> dict[str, Any]:
    """What anybody can see: the alias, the status and how the journal ends."""
    status = promoted.status(root)
    entries = journal.read(root)
    return {
        "alias": status.alias,
        "state": status.state,
        "journal": [entries[-1].event, entries[-1].promotion.version] if entries else [],
        "partial": [path.name for path in (root / "registry").glob("*.partial")],
    }


class Killer:
    """Counts every write of a promotion, before and after it happens, and kills the process at the n-th count."""

    def __init__(self, at: int) -> None:
        self.at, self.count, self.names = at, 0, []  # type: ignore[var-annotated]

    def wrap(self, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def write(*arguments: Any, **named: Any) -> Any:
            self.tick(f"before {name}")
            result = real(*arguments, **named)
            self.tick(f"after {name}")
            return result

        setattr(owner, name, write)

    def tick(self, name: str) -> None:
        self.count += 1
        self.names.append(name)
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def put_under_fire(root: Path, candidate: str, at: int) -> list[str]:
    """Promote with a killer in every write; gives the names of the writes when it survived."""
    killer = Killer(at)
    client = store.mlflow().MlflowClient
    for name in WRITES:
        killer.wrap(client, name)
    killer.wrap(digest, "write_bytes")
    put(root, candidate)
    return killer.names


def aftermath(root: Path, candidate: str) -> dict[str, Any]:
    """What is seen after a kill, what repeating the promotion gives, and what is seen then."""
    return {"seen": look(root), "new": put(root, candidate), "repaired": look(root)}


def crash(root: Path, points: str) -> None:
    """Kill a promotion of a candidate that was registered before, at chosen writes or that often; each time repeat it, then go back."""
    old, new = "step_0000040", "step_0000020"
    in_child(lambda: (put(root, new), put(root, old)))
    names = in_child(lambda: put_under_fire(root, new, 0))
    chosen = (
        switch_points(names) if points == "switch" else [1 + at % len(names) for at in range(int(points))]
    )
    for at in chosen:
        survived = in_child(lambda at=at: (promote.rollback(root, "back"), put_under_fire(root, new, at))[1])
        point = names[at - 1] if at <= len(names) else "the end"
        say(point=point, old="2", survived=survived, **in_child(lambda: aftermath(root, new)))


def switch_points(names: list[str]) -> list[int]:
    """After the announcement, after the alias has moved, and not at all."""
    announced = names.index("after write_bytes") + 1
    moved = len(names) - names[::-1].index("after set_registered_model_alias")
    return [announced, moved, len(names) + 1]


def crash_everywhere(project: Path, work: str) -> None:
    """Kill the first promotion of a candidate at each of its writes, in a fresh copy each time, then repeat it."""
    at, survived = 0, None
    while survived is None:
        at += 1
        root = mlflow_stores.copy_tracked(project, Path(work) / str(at))
        old = in_child(lambda root=root: put(root, "step_0000040"))
        survived = in_child(lambda root=root, at=at: put_under_fire(root, "step_0000020", at))
        after = in_child(
            lambda root=root: {**aftermath(root, "step_0000020"), "num_versions": num_versions_of(root)}
        )
        say(point=at, old=old, survived=survived, **after)
        shutil.rmtree(root)


def num_versions_of(root: Path) -> int:
    opened = store.connect(promote.gates.load_params(root).tracking, root)
    return len(opened.client.search_model_versions(f"name = '{NAME}'"))


def race(root: Path, number: str) -> None:
    """Four promoters that all expect the same version, over and over."""
    candidates = [f"step_{step:07d}" for step in (10, 20, 30, 50, 60)]
    versions = in_child(lambda: {candidate: put(root, candidate) for candidate in candidates})
    current = versions[candidates[-1]]
    barrier, results = FORK.Barrier(4), FORK.Queue()
    orders: list[Any] = [FORK.Queue() for _ in range(4)]
    racers = [FORK.Process(target=run_races, args=(root, order, barrier, results)) for order in orders]
    for racer in racers:
        racer.start()
    for _trial in range(int(number)):
        others = [candidate for candidate, version in versions.items() if version != current]
        for order, candidate in zip(orders, others, strict=True):
            order.put((candidate, current))
        told = [results.get(timeout=120) for _ in racers]
        orders[0].put("look")
        seen = results.get(timeout=120)
        say(expected=current, told=told, seen=seen)
        current = seen["alias"]
    for order, racer in zip(orders, racers, strict=True):
        order.put(None)
        racer.join()


def race_checkouts(first: Path, second: str, number: str) -> None:
    """Two clones of a project that share one MLflow server promote at once, each with a reason; the loser then pulls the winner's journal."""
    roots = [first, Path(second)]
    candidates = [f"step_{step:07d}" for step in (10, 20, 30, 40)]
    for trial in range(int(number)):
        barrier, results = FORK.Barrier(2), FORK.Queue()
        chosen = [candidates[trial % 4], candidates[(trial + 2) % 4]]
        racers = [
            FORK.Process(target=run_once, args=(root, candidate, barrier, results))
            for root, candidate in zip(roots, chosen, strict=True)
        ]
        for racer in racers:
            racer.start()
        told = dict(results.get(timeout=120) for _ in racers)
        for racer in racers:
            racer.join()
        won = [str(root) for root in roots if told[str(root)][0] == "won"]
        seen = [in_child(lambda root=root: look(root)) for root in roots] if won else []
        say(
            told=[told[str(root)] for root in roots],
            won=[str(root) for root in roots].index(won[0]),
            seen=seen,
        )
        loser = next(root for root in roots if str(root) != won[0])
        shutil.copy(Path(won[0]) / journal.FILE, loser / journal.FILE)


def run_once(root: Path, candidate: str, barrier: Any, results: Any) -> None:
    barrier.wait()
    try:
        results.put((str(root), ["won", put(root, candidate)]))
    except PromotionError as problem:
        results.put((str(root), ["lost", str(problem)]))


def short(root: Path) -> None:
    """What the default tests have time for."""
    crash(root, "switch")
    race(root, "1")


def run_races(root: Path, orders: Any, barrier: Any, results: Any) -> None:
    while order := orders.get():
        if order == "look":
            results.put(look(root))
            continue
        candidate, expected = order
        barrier.wait()
        try:
            results.put(["won", put(root, candidate, expect=expected)])
        except PromotionError as problem:
            results.put(["lost", str(problem)])


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    store.mlflow("mlflow.pyfunc")
    registered.mlflow("mlflow.store.tracking.sqlalchemy_store")
    commands = {"short": short, "crash": crash, "crash-everywhere": crash_everywhere, "race": race}
    commands["race-checkouts"] = race_checkouts
    commands[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
