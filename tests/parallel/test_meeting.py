"""Machines meet in a folder: who is missing, late, another or one too many is said by name before any work begins."""

import re
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from voicelathe import digest, records
from voicelathe.config import params, schema
from voicelathe.errors import ClusterError, ParamsError
from voicelathe.parallel import meeting
from voicelathe.parallel.needs import Needs
from voicelathe.process import jobs, together
from voicelathe.worker import __main__ as worker

TWO = schema.Nodes(2, "127.0.0.1:29500", 20.0)
SOON = replace(TWO, wait_s=0.6)


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "weights").write_text("w")


def job() -> jobs.TrainJob:
    tree = params.load(Path(__file__).parents[2] / "params.yaml")
    target = jobs.Target("voxcpm2", "base", "0" * 64, schema.Machine("cpu", 1, 2))
    train = tree.recipes["mini-lora"].train
    return jobs.TrainJob(target, train, 1, "clips.jsonl", "latents", ".", "0" * 64, "run")


def quiet(_text: str) -> None:
    pass


def calling(how: schema.Nodes, over: threading.Event) -> records.NodePlace:
    with meeting.called("voice", job(), how, Needs(folders=("base",), is_exact=True), quiet) as placed:
        assert placed.node is not None
        over.wait(30)
        return placed.node


def met(how: schema.Nodes, answers: int) -> tuple[Future[Any], list[Future[Any]]]:
    """What machine 0 and the others got, in threads of one process."""
    over = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(meeting.answered, "voice", how, quiet) for _ in range(answers)]
        first = pool.submit(calling, how, over)
        for one in others:
            one.exception()
        over.set()
    return first, others


def test_every_machine_gets_a_place_of_its_own_and_the_same_job() -> None:
    first, others = met(replace(TWO, count=4), 3)
    zero, found = first.result(), [one.result() for one in others]
    assert zero.rank == 0 and sorted(one.node.rank for one in found) == [1, 2, 3]
    assert {replace(one.node, rank=0) for one in found} == {zero}
    assert [replace(one, node=None) for one in found] == [job()] * 3


def test_a_machine_that_never_comes_is_waited_for_so_long_and_then_said_with_what_to_start() -> None:
    with pytest.raises(
        ClusterError,
        match=r"nodes.count = 2, but within nodes.wait_s = 0.6 s only 1 came: .*voicelathe join voice",
    ):
        calling(SOON, threading.Event())
    assert not (meeting.PLACE / "voice" / meeting.CALL).exists(), "nobody may answer any more"


def test_who_joins_a_training_that_nobody_runs_is_told_where_it_looked() -> None:
    with pytest.raises(
        ClusterError, match=rf"No machine trains voice in {Path.cwd()} .* dvc repro -s train@voice"
    ):
        meeting.answered("voice", SOON, quiet)


def test_one_machine_more_than_there_are_places_is_not_taken() -> None:
    first, others = met(replace(TWO, wait_s=5.0), 2)
    assert first.result().count == 2
    failed = [one for one in others if one.exception() is not None]
    assert len(failed) == 1 and "No machine trains voice" in str(failed[0].exception())


def test_who_waits_is_told_at_once_when_machine_0_gives_up() -> None:
    """Stopped while it waits for a third machine: nobody holds a GPU for the rest of wait_s."""
    how = replace(TWO, count=3, wait_s=60.0)
    taken = threading.Event()

    def stopped() -> None:
        with meeting.called(
            "voice", job(), replace(how, wait_s=2.0), Needs(folders=("base",), is_exact=True), quiet
        ):
            raise AssertionError("nobody came third")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(stopped)
        other = pool.submit(
            meeting.answered, "voice", how, lambda text: taken.set() if "is machine 1" in text else None
        )
        assert taken.wait(30)
        assert "only 2 came" in str(first.exception()) and "only 2 came" in str(other.exception())


def test_who_is_ready_hears_why_the_meeting_ended_and_not_of_a_port() -> None:
    room = meeting.room_of("voice", "t" * 32)
    room.mkdir(parents=True)
    digest.write_json(room / meeting.REFUSED, {"message": "h2 answered and then did not start"})
    place = records.NodePlace(1, 3, "127.0.0.1", 9, "t" * 32)
    with pytest.raises(ClusterError, match="h2 answered and then did not start"):
        together.require_reachable(place, 60.0, room)


def test_an_error_after_all_have_come_is_told_to_who_has_not_started_yet() -> None:
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(meeting.answered, "voice", TWO, quiet)
        with (
            pytest.raises(RuntimeError, match="no memory"),
            meeting.called("voice", job(), TWO, Needs(folders=("base",), is_exact=True), quiet) as placed,
        ):
            raise RuntimeError("no memory")
        room = meeting.room_of("voice", other.result().node.token)
    assert placed.node is not None and placed.node.token == room.name
    with pytest.raises(ClusterError, match=r"which called, has ended \(RuntimeError\): look at its output"):
        meeting.require_not_refused(room)


def test_what_a_call_asks_for_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine too many would else hash the base again and again."""
    looked: list[str] = []
    differences = meeting._differences
    monkeypatch.setattr(
        meeting, "_differences", lambda call: (looked.append(call.token), differences(call))[1]
    )
    call = meeting.NodeCall(
        "0" * 32, "full", str(Path.cwd()), {"folders": ["base"]}, {}, {"node": {"count": 1}}
    )
    digest.write_json(meeting.PLACE / "voice" / meeting.CALL, vars(call))
    meeting.room_of("voice", call.token).mkdir()
    with pytest.raises(ClusterError, match="No machine trains voice"):
        meeting.answered("voice", replace(SOON, wait_s=1.5), quiet)
    assert looked == [call.token]


def test_a_machine_that_waited_in_vain_gives_its_place_back() -> None:
    call = meeting.NodeCall(
        "0" * 32, "gone", str(Path.cwd()), {"folders": ["base"]}, {}, {"node": {"count": 3}}
    )
    digest.write_json(meeting.PLACE / "voice" / meeting.CALL, vars(call))
    room = meeting.room_of("voice", call.token)
    room.mkdir()
    with pytest.raises(ClusterError, match="gone called for voice"):
        meeting.answered("voice", SOON, quiet)
    assert [one.name for one in room.iterdir()] == []


@pytest.mark.parametrize(
    "fact, says",
    [
        ("voicelathe", r"voicelathe: \S+ there, other here"),
        ("voicelathe's code", r"voicelathe's code: \S+ there, other here"),
        ("package torch", r"package torch: \S+ there, other here"),
        ("vector instructions", r"vector instructions: .* there, other here"),
        ("folder base", r"folder base: \S+ there, other here"),
    ],
)
def test_another_version_package_processor_or_base_is_refused_by_name_on_both_sides(
    monkeypatch: pytest.MonkeyPatch, fact: str, says: str
) -> None:
    """The call is changed on its way, so both sides are real."""
    write = digest.write_json

    def changed(path: Path, value: Any) -> None:
        if path.name == meeting.CALL:
            value["facts"][fact] = "other"
        write(path, value)

    monkeypatch.setattr(digest, "write_json", changed)
    first, (other,) = met(TWO, 1)
    for side in (first, other):
        assert isinstance(problem := side.exception(), ClusterError)
        assert re.search(says, str(problem)), problem


def test_another_folder_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the project, made while machine 0 waited, has its call, too."""
    write = digest.write_json
    monkeypatch.setattr(
        digest,
        "write_json",
        lambda path, value: write(
            path, {**value, "folder": "/elsewhere"} if path.name == meeting.CALL else value
        ),
    )
    first, (other,) = met(TWO, 1)
    for side in (first, other):
        assert f"the project's folder: {Path.cwd()} there, /elsewhere here" in str(side.exception())
        assert "Mount the same file system at the same path on every node" in str(side.exception())


def test_a_call_that_a_killed_machine_left_is_given_up_for_a_new_one() -> None:
    stale = meeting.NodeCall(
        "0" * 32, "gone", str(Path.cwd()), {"folders": ["base"]}, {}, {"node": {"count": 2}}
    )
    call = meeting.PLACE / "voice" / meeting.CALL
    digest.write_json(call, vars(stale))
    (call.parent / stale.token).mkdir()
    over, said = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(
            meeting.answered,
            "voice",
            TWO,
            lambda text: said.set() if "is machine 1 of gone's" in text else None,
        )
        assert said.wait(10), "the stale call was answered"
        first = pool.submit(calling, TWO, over)
        found = other.result()
        over.set()
        assert found.node == replace(first.result(), rank=1)


def test_the_meeting_point_is_the_settings_else_the_scheduler_s_else_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    open_ = replace(TWO, rendezvous=None)
    assert meeting.meeting_point(TWO) == ("127.0.0.1", 29500)
    assert meeting.meeting_point(replace(TWO, rendezvous="[::1]:29500")) == ("::1", 29500)
    assert meeting.meeting_point(open_)[1] > 0
    monkeypatch.setenv("MASTER_ADDR", "node-7")
    monkeypatch.setenv("MASTER_PORT", "29501")
    assert meeting.meeting_point(open_) == ("node-7", 29501)
    assert meeting.meeting_point(TWO) == ("127.0.0.1", 29500), "settings go first"
    monkeypatch.setenv("MASTER_PORT", "many")
    with pytest.raises(ClusterError, match="MASTER_PORT = 'many': a port from 1 to 65535"):
        meeting.meeting_point(open_)


def test_torchrun_is_told_its_place_and_where_to_meet_and_one_machine_alone_meets_itself() -> None:
    node = records.to_json(records.NodePlace(1, 2, "node-0", 29500, "t" * 32))
    assert worker._meeting(16, None) == ["--standalone", "--nproc-per-node=16"]
    told = worker._meeting(16, node)
    assert {"--nnodes=2", "--node-rank=1", "--nproc-per-node=8", "--rdzv-backend=static"} <= set(told)
    assert {"--master-addr=node-0", "--master-port=29500", f"--rdzv-id={'t' * 32}"} <= set(told)


@pytest.mark.parametrize(
    "nodes, processes, says",
    [
        ({"count": 2}, 3, "nodes.count = 2: machine.processes = 3, .* cannot be shared evenly"),
        ({"count": 2, "rendezvous": "tcp://a:1"}, 2, "nodes.rendezvous = 'tcp://a:1': HOST:PORT"),
        ({"count": 0}, 1, "nodes.count = 0"),
        ({"wait_s": 0}, 1, "nodes.wait_s = 0"),
    ],
)
def test_settings_that_machines_cannot_share_are_refused(
    nodes: dict[str, Any], processes: int, says: str
) -> None:
    tree = params.read_yaml(Path(__file__).parents[2] / "params.yaml")
    tree["machine"]["processes"] = processes
    tree["nodes"].update(nodes)
    with pytest.raises(ParamsError, match=says):
        params.check(tree, "params.yaml")


def test_a_file_from_before_there_was_more_than_one_machine_is_read() -> None:
    tree = params.read_yaml(Path(__file__).parents[2] / "params.yaml")
    del tree["nodes"]
    assert params.check(tree, "params.yaml").nodes == schema.ALONE


def test_there_is_nothing_to_join_where_one_machine_trains_and_the_command_says_what_to_set() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "voicelathe.cli", "join", "mini-lora"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("ParamsError: nodes.count = 1: ") and "machine.processes" in done.stderr
