"""Busy, read-only, restored, wrong addresses: each has its own true sentence, and nobody waits without being told for whom."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import mlflow_stores as stores
from voicelathe import locks
from voicelathe.errors import PromotionError, TrackingError
from voicelathe.registry import promote, promoted
from voicelathe.registry.history import journal
from voicelathe.tracking import mutex, store
from voicelathe.tracking.live import processes
from voicelathe.tracking.registered import Registered

RECIPE, NAME = "mini-lora", "voicelathe"
HOLD = (
    "import fcntl, sys; file = open(sys.argv[1], 'a+'); fcntl.flock(file, fcntl.LOCK_EX); file.truncate(0); "
    "file.write('mara, process 7'); file.flush(); print('held', flush=True); sys.stdin.read()"
)


def test_a_journal_that_somebody_holds_is_waited_for_aloud_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks, "TELL_S", 0.05)
    monkeypatch.setattr(locks, "LIMIT_S", 0.4)
    (tmp_path / "registry").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path / journal.LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert (
            holder.stdout is not None and holder.stdin is not None and holder.stdout.readline() == b"held\n"
        )
        expected = r"registry is being written by mara, process 7, and has been for 0\.4 s"
        with pytest.raises(PromotionError, match=expected), journal.locked(tmp_path):
            pytest.fail("two hold it")
        assert "written by mara, process 7; waiting up to" in capsys.readouterr().err
        holder.stdin.close()
    with journal.locked(tmp_path) as book:
        assert book.entries == []


def test_a_registry_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "registry").write_text("a file where the folder should be")  # also root cannot write below it
    expected = r"registry cannot be written \(.*\), so nothing was changed"
    with pytest.raises(PromotionError, match=expected), journal.locked(tmp_path):
        pytest.fail("held")


def test_a_database_that_is_written_by_another_is_never_to_be_moved_aside(
    promoted_project: Path, tmp_path: Path
) -> None:
    copy = stores.copy_tracked(promoted_project, tmp_path / "copy")
    with sqlite3.connect(copy / "mlflow.db", isolation_level=None) as other:
        other.execute("begin exclusive")
        expected = r"locked.*Another process is writing it: wait.*Never move"
        with (
            pytest.raises(TrackingError, match=expected) as caught,
            store.usable(f"sqlite:///{copy}/mlflow.db"),
        ):
            raise_as_sqlalchemy(sqlite3.connect(copy / "mlflow.db", timeout=0.1))
    assert "Start it" not in str(caught.value)


def raise_as_sqlalchemy(connection: sqlite3.Connection) -> None:
    from sqlalchemy.exc import OperationalError

    try:
        connection.execute("select * from runs")
    except sqlite3.OperationalError as problem:
        raise OperationalError("select", {}, problem) from None


def test_looking_at_a_database_that_is_locked_does_not_say_that_it_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as made:
        made.execute("create table x (y)")
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("begin exclusive")
        try:
            store.require_database(path)
        except TrackingError as problem:
            assert "wait until it has ended" in str(problem) and "cannot be opened" not in str(problem)


def test_a_lost_alias_names_the_address_that_was_asked(
    promoted_project: Path, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(empty_database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
    found = promoted.status(promoted_project)
    assert found.state == "lost"
    assert f"in sqlite:///{other}" in str(found.problem) and "Check MLFLOW_TRACKING_URI first" in str(
        found.problem
    )


def test_a_database_driver_that_is_not_installed_is_named(
    promoted_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+pg8000://anna:hunter2@127.0.0.1:1/x")
    with pytest.raises(TrackingError, match="needs the package pg8000, which is not installed") as caught:
        promoted.status(promoted_project)
    assert "hunter2" not in str(caught.value)


def test_no_word_a_user_can_type_turns_the_expectation_off(project: Path) -> None:
    with pytest.raises(
        PromotionError, match="stale: expected version unchanged of voicelathe in production, found nothing"
    ):
        promote.promote(RECIPE, project, expect="unchanged")


def test_a_process_of_another_container_or_boot_is_not_called_dead() -> None:
    host, boot, namespace, pid, started = processes.mark().split("/")
    gone = "4194304"  # above the kernel's largest number of a process
    assert processes.is_dead("/".join((host, boot, namespace, gone, started)))
    assert not processes.is_dead("/".join((host, boot, "4026599999", gone, started))), (
        "same host name, another container"
    )
    assert not processes.is_dead("/".join((host, "00000000-0000", "4026599999", gone, started)))
    assert not processes.is_dead("/".join((host, pid, started))), "an old mark says too little"
    earlier = processes.is_dead("/".join((host, "00000000-0000", processes.HOST_NAMESPACE, pid, started)))
    assert earlier == (namespace == processes.HOST_NAMESPACE), "a boot ends all processes of its machine"


def test_a_lock_that_another_took_meanwhile_is_not_removed(project: Path) -> None:
    models = Registered(promote.connect(promote.gates.load_params(project).tracking, project), NAME)
    client, name = models.store.client, f"{NAME}.promotion"
    with mutex.held(models):
        client.delete_registered_model(name)  # by hand
        client.create_registered_model(name, {mutex.HOLDER: "elsewhere/1/2/3/4", mutex.BY: "mara"})
    assert client.get_registered_model(name).tags[mutex.BY] == "mara"


def without_privileges() -> list[str]:
    """Root reads and writes whatever it likes; without these capabilities it is a user like any other."""
    taken = "-dac_override,-dac_read_search"
    return ["setpriv", f"--inh-caps={taken}", f"--bounding-set={taken}", "--"] if os.geteuid() == 0 else []


def test_a_database_without_permission_says_so(project: Path) -> None:
    (project / "mlflow.db").chmod(0o400)
    command = [*without_privileges(), sys.executable, "-m", "voicelathe.cli", "promote", RECIPE]
    told = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert told.returncode == 1 and "This user may not write it" in told.stderr, told.stderr
