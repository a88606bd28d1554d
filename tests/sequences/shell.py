"""Commands as somebody types them in the project; `voicelathe` runs in a process forked from one that has imported everything."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.sequences.model import Violation
from voicelathe import cli
from voicelathe.registry import promote, voice
from voicelathe.registry.speaking import say
from voicelathe.registry.weights import archive, retention
from voicelathe.tracking import registered, replay, store

IMPORTED = (cli, promote, voice, say, archive, retention, replay)


def warm() -> None:
    """Import what commands would import; forks come before any store is opened."""
    store.mlflow("mlflow.pyfunc")
    registered.mlflow("mlflow.store.tracking.sqlalchemy_store")


@dataclass(frozen=True)
class Told:
    """What a command did, as a shell sees it."""

    command: str
    code: int
    text: str


@dataclass
class Shell:
    """A terminal in the project, which may be renamed meanwhile."""

    root: Path
    environment: Mapping[str, str]
    log: list[str] = field(default_factory=list)
    after: Callable[["Told"], None] = lambda told: None

    def type(self, command: str) -> Told:
        """Raises Violation for a traceback: whatever happens ends in a sentence."""
        words = shlex.split(command)
        simple = words[0] == "voicelathe" and not any(mark in command for mark in ("&&", "|", ">"))
        with tempfile.TemporaryFile() as out:
            code = self._forked(words, out.fileno()) if simple else self._run(command, out.fileno())
            out.seek(0)
            text = out.read().decode(errors="replace")
        self.log.append(f"$ {command}  -> {code}" + (f"\n{_indented(text)}" if code else ""))
        if "Traceback (most recent call last)" in text:
            raise Violation(f"{command} ends in a traceback:\n{text[-3000:]}")
        told = Told(command, code, text)
        self.after(told)
        return told

    def note(self, text: str) -> None:
        self.log.append(text)

    def must(self, command: str) -> Told:
        """For what always works."""
        told = self.type(command)
        if told.code:
            raise Violation(f"{command} ended with {told.code}:\n{told.text[-3000:]}")
        return told

    def _run(self, command: str, out: int) -> int:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.root,
            env=dict(self.environment),
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        ).returncode

    def _forked(self, words: list[str], out: int) -> int:
        sys.stdout.flush()
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        code = 70
        try:
            for number in (1, 2):
                os.dup2(out, number)
            os.chdir(self.root)
            os.environ.clear()
            os.environ.update(self.environment)
            sys.argv = words
            cli.main()
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(bool(left.code))
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _indented(text: str) -> str:
    return "\n".join(f"    | {line}" for line in text.strip().splitlines()[-12:])
