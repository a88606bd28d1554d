"""Machines that train one run find each other in the project's folder, which all of them see, before torchrun starts on any.

The machine that runs the stage calls: it writes the job, where torchrun meets, and what it finds here (`needs`). Every other machine
answers: it looks at the same things, and takes the next place, or says what differs. So ranks need no scheduler, and nothing begins
while a machine is missing or has another version, package, base or file system.
"""

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from voicelathe import digest, layout, records
from voicelathe.config import schema
from voicelathe.errors import ClusterError, listing
from voicelathe.parallel import needs, nodes
from voicelathe.process import jobs

PLACE = layout.CACHE / "nodes"
CALL, GO, REFUSED, MACHINES = "call.json", "go.json", "refused.json", "machines.json"
LOOK_S = 0.25
START_S = 180.0  # a machine that has answered says that it starts within this; NFS may show a new file only after a minute
Say = Callable[[str], None]


@dataclass(frozen=True)
class NodeCall:
    """What machine 0 writes; another voicelathe may not know the job, but will know the facts."""

    token: str
    host: str
    folder: str
    needs: dict[str, Any]
    facts: dict[str, str]
    job: dict[str, Any]


@contextmanager
def called(
    recipe: str, job: jobs.TrainJob, how: schema.Nodes, wanted: needs.Needs, say: Say
) -> Iterator[jobs.TrainJob]:
    """The job with this machine's place, once all machines are here. Raises ClusterError when one is missing or differs."""
    token = uuid.uuid4().hex
    host, port = meeting_point(how)
    node = records.NodePlace(0, how.count, host, port, token)
    job = replace(job, node=node)
    folder, room = PLACE / recipe, PLACE / recipe / token
    shutil.rmtree(folder, ignore_errors=True)  # of meetings that are over
    room.mkdir(parents=True)
    on_cuda = job.target.machine.device == "cuda"
    call = NodeCall(
        token,
        socket.gethostname(),
        str(Path.cwd()),
        asdict(wanted),
        facts(wanted, on_cuda),
        records.to_json(job),
    )
    digest.write_json(folder / CALL, asdict(call))
    say(
        f"{recipe}: waiting up to {how.wait_s:g} s for {how.count - 1} more machine{'s' if how.count > 2 else ''} of nodes.count = "
        f"{how.count}. On each, in {call.folder}: voicelathe join {recipe}"
    )
    try:
        _await_answers(recipe, room, how, call)
        digest.write_json(room / GO, {})
        _await_starts(room, how)
        answers = [digest.read_json(room / f"{rank}.json") for rank in range(1, how.count)]
        digest.write_json(folder / MACHINES, [str(one["host"]) for one in answers])
        yield job
    except BaseException as problem:
        if not (room / REFUSED).exists():  # whoever still waits for this machine need not do so
            digest.write_json(room / REFUSED, {"message": _ended(call.host, problem)})
        raise
    finally:
        (folder / CALL).unlink(missing_ok=True)


def _ended(host: str, problem: BaseException) -> str:
    return f"{host}, which called, has ended ({type(problem).__name__}): look at its output, then start the same commands again on every machine."


def answered(recipe: str, how: schema.Nodes, say: Say) -> jobs.TrainJob:
    """The job of machine 0 with this machine's place, once all machines are here.

    Raises ClusterError when machine 0 does not call in time, has no place left, refuses, or differs from this machine.
    """
    folder, deadline = PLACE / recipe, time.monotonic() + how.wait_s
    host = socket.gethostname()
    say(
        f"{recipe}: {host} waits up to {how.wait_s:g} s for the machine that trains: dvc repro -s train@{recipe}"
    )
    seen: tuple[NodeCall, int] | None = None
    looked_at = set[str]()  # calls: what they ask for is hashed once
    while time.monotonic() < deadline:
        call = _call(folder)
        if call is not None and call.token not in looked_at:
            looked_at.add(call.token)
            rank = _place(recipe, folder / call.token, call)
            seen = None if rank is None else (call, rank)
            if rank is not None:
                say(f"{recipe}: {host} is machine {rank} of {call.host}'s meeting, waiting for the others")
        if seen is not None:
            room = folder / seen[0].token
            require_not_refused(room)
            if GO in _names(room):
                digest.write_json(room / f"{seen[1]}.started.json", {})
                job = records.from_json(jobs.TrainJob, seen[0].job, str(folder / CALL))
                assert job.node is not None
                return replace(job, node=replace(job.node, rank=seen[1]))
        time.sleep(LOOK_S)
    if seen is not None:
        (folder / seen[0].token / f"{seen[1]}.json").unlink(missing_ok=True)  # the place is free again
    raise ClusterError(_nobody(recipe, how, seen))


def require_not_refused(room: Path) -> None:
    """Raises ClusterError with what machine 0 said when it gave the meeting up."""
    if REFUSED in _names(room):
        raise ClusterError(str(digest.read_json(room / REFUSED)["message"]))


def room_of(recipe: str, token: str) -> Path:
    """Where the machines of a meeting leave their notes."""
    return PLACE / recipe / token


def _names(room: Path) -> set[str]:
    """Of the notes that are there: to read the folder shows on NFS what others have just written, to ask for a file may not."""
    with suppress(OSError):
        return {one.name for one in os.scandir(room)}
    return set()


def others(recipe: str) -> list[str]:
    """The machines that trained with this one when it called last; none where it trained alone since."""
    path = PLACE / recipe / MACHINES
    return [str(one) for one in digest.read_json(path)] if path.is_file() else []


def alone(recipe: str) -> None:
    """This machine trains without others: what is left of meetings is no longer true."""
    shutil.rmtree(PLACE / recipe, ignore_errors=True)


def meeting_point(how: schema.Nodes) -> tuple[str, int]:
    """Host and port of machine 0: as the settings say, else the scheduler, else this machine's name and a port that is free."""
    if how.rendezvous is not None:
        host, _, port = how.rendezvous.rpartition(":")
        return host.strip("[]"), int(port)
    host, given = os.environ.get("MASTER_ADDR") or socket.gethostname(), os.environ.get("MASTER_PORT", "")
    if given:
        if not given.isdigit() or not 0 < int(given) < 1 << 16:
            raise ClusterError(
                f"MASTER_PORT = {given!r}: a port from 1 to 65535 is expected. Correct or unset it."
            )
        return host, int(given)
    with socket.socket() as free:
        free.bind(("", 0))
        return host, int(free.getsockname()[1])


def facts(wanted: needs.Needs, on_cuda: bool) -> dict[str, str]:
    """What this machine finds. Every process computes the same update, so the cards must be of one kind, too."""
    return needs.facts(wanted) | ({"graphics cards": _cards()} if on_cuda else {})


def _cards() -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False).stdout
        return "; ".join(sorted({line.strip() for line in said.splitlines() if line.strip()}))
    return "nvidia-smi does not answer"


def _await_answers(recipe: str, room: Path, how: schema.Nodes, call: NodeCall) -> None:
    deadline = time.monotonic() + how.wait_s
    while True:
        bad = [digest.read_json(path) for path in sorted(room.glob("bad-*.json"))]
        if bad:
            found = [nodes.ClusterNode(one["host"], 0.0, 0.0, one["problems"]) for one in bad]
            raise _refused(room, nodes.refusal(f"{call.host} ({recipe})", found, how.count))
        here = [rank for rank in range(1, how.count) if (room / f"{rank}.json").is_file()]
        if len(here) == how.count - 1:
            return
        if time.monotonic() >= deadline:
            came = [call.host, *(str(digest.read_json(room / f"{rank}.json")["host"]) for rank in here)]
            raise _refused(
                room,
                f"nodes.count = {how.count}, but within nodes.wait_s = {how.wait_s:g} s only {len(came)} came: {', '.join(came)}. Nothing "
                f"was begun. Start this on each of the others, in {call.folder} on the same file system: voicelathe join {recipe}. Then run "
                "the same command again; or set nodes.wait_s higher, or nodes.count lower.",
            )
        time.sleep(LOOK_S)


def _await_starts(room: Path, how: schema.Nodes) -> None:
    """A machine may have gone since it answered."""
    deadline = time.monotonic() + START_S
    while gone := [one for one in range(1, how.count) if f"{one}.started.json" not in _names(room)]:
        if time.monotonic() >= deadline:
            hosts = ", ".join(str(digest.read_json(room / f"{rank}.json")["host"]) for rank in gone)
            raise _refused(
                room,
                f"{hosts} answered and then did not start within {START_S:g} s. Nothing was begun. Look at the output of voicelathe join "
                "there, and run the same commands again.",
            )
        time.sleep(LOOK_S)


def _refused(room: Path, message: str) -> ClusterError:
    """The error, which the others are told, too."""
    digest.write_json(room / REFUSED, {"message": message})
    return ClusterError(message)


def _call(folder: Path) -> NodeCall | None:
    """The newest call, if it still waits for machines."""
    with suppress(OSError, TypeError):  # taken away this moment; of another version
        call = NodeCall(**digest.read_json(folder / CALL))
        room = folder / call.token
        if room.is_dir() and not (room / GO).exists() and not (room / REFUSED).exists():
            return call
    return None


def _place(recipe: str, room: Path, call: NodeCall) -> int | None:
    """The place that this machine gets; None where none is left. Raises ClusterError, and tells machine 0, where it differs."""
    host = socket.gethostname()
    problems = _differences(call)
    if problems:
        digest.write_json(room / f"bad-{uuid.uuid4().hex}.json", {"host": host, "problems": problems})
        told = nodes.remedy([nodes.ClusterNode(host, 0.0, 0.0, problems)])
        raise ClusterError(
            f"{host} cannot train {recipe} together with {call.host}; nothing was begun ({call.host} is `here`, {host} is `there`):\n"
            f"{listing(problems)}\n{told}"
        )
    draft = room / f"draft-{uuid.uuid4().hex}"
    digest.write_json(draft, {"host": host})
    try:
        for rank in range(1, int(call.job["node"]["count"])):
            with suppress(FileExistsError):
                os.link(draft, room / f"{rank}.json")  # whole at once, and by one machine only
                return rank
    finally:
        draft.unlink(missing_ok=True)
    return None


def _differences(call: NodeCall) -> list[str]:
    if call.folder != (folder := str(Path.cwd())):
        return [f"the project's folder: {folder} there, {call.folder} here"]
    try:
        wanted = needs.Needs(**{key: _frozen(value) for key, value in call.needs.items()})
    except TypeError:  # of another version
        wanted = needs.Needs()
    return needs.differences(call.facts, facts(wanted, "graphics cards" in call.facts))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _nobody(recipe: str, how: schema.Nodes, seen: tuple[NodeCall, int] | None) -> str:
    if seen is not None:
        return (
            f"{seen[0].host} called for {recipe}, and within nodes.wait_s = {how.wait_s:g} s not all of its machines came, or it ended. "
            "Look at its output; start voicelathe join on every other machine, or set nodes.wait_s higher."
        )
    return (
        f"No machine trains {recipe} in {Path.cwd()} and waits for others: none did within nodes.wait_s = {how.wait_s:g} s. Start it there: "
        f"dvc repro -s train@{recipe}. It must be the same folder on the same file system, with nodes.count > 1; a run that is finished "
        "needs no machine. If its earlier stages take longer, set nodes.wait_s higher."
    )
