"""While a run trains: judge its checkpoints as they appear, in order, each once; what was judged before a kill is not judged again."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voicelathe import digest, records
from voicelathe.config import schema
from voicelathe.errors import VoiceLatheError
from voicelathe.process import runner
from voicelathe.records import EarlyCheck
from voicelathe.runs import early_stopping
from voicelathe.stages.early_stopping import checking

TRIES = 2  # a process may die for a reason that is over


@contextmanager
def judged(params: schema.Params, run: records.RunRecord) -> Iterator[None]:
    """Judge checkpoints as long as the block takes; a run without early stopping is left alone.

    What goes wrong twice is written down for the training, which ends with it at its next checkpoint.
    """
    if run.identity.train.early_stopping is None:
        yield
        return
    listener = _Listener(params, run)
    listener.start()  # the kernel ends workers with the thread that started them: it lives as long as they do
    try:
        yield
    finally:
        listener.end()


class _Listener(threading.Thread):
    """The thread that judges."""

    def __init__(self, params: schema.Params, run: records.RunRecord) -> None:
        super().__init__(name="early stopping")
        self._params, self._run, self._directory = params, run, Path(run.directory)
        self._leash, self._over = runner.Leash(), threading.Event()
        self._failed = self._directory / early_stopping.FOLDER / early_stopping.FAILED
        self._failed.unlink(missing_ok=True)

    def end(self) -> None:
        self._over.set()
        self._leash.pull()
        self.join()

    def run(self) -> None:
        """Judge; whatever goes wrong is told to the training, which waits for this thread and would wait for ever."""
        try:
            self._judge()
        except Exception as problem:
            self._fail(f"Early stopping: nothing is judged any more. {_said(problem)}\n{_remedy(self._run)}")

    def _judge(self) -> None:
        before: list[EarlyCheck] = []
        for step in early_stopping.judged(self._run.identity.train):
            if not self._appeared(step):
                return
            known = early_stopping.found(self._directory, step, self._run.run_digest)
            if (check := known or self._tried(step, before)) is None:
                return
            before.append(check)

    def _appeared(self, step: int) -> bool:
        """Wait for a checkpoint. False when the training is over."""
        path = early_stopping.weights(self._directory, step)
        while not self._over.is_set():
            if path.is_dir():
                return True
            self._over.wait(early_stopping.POLL_S)
        return False

    def _tried(self, step: int, before: list[EarlyCheck]) -> EarlyCheck | None:
        """Judge a checkpoint, and write down what it came to or why that cannot be known; None then, and when the training is over."""
        problem: Exception | None = None
        for _ in range(TRIES):
            if self._over.is_set():
                return None
            try:
                check = checking.check(self._params, self._run, step, before, self._leash)
                digest.write_json(early_stopping.place(self._directory, step), records.to_json(check))
            except Exception as found:
                problem = found
            else:
                return check
        if not self._over.is_set() and problem is not None:
            self._fail(
                f"Early stopping: the checkpoint of step {step} could not be judged, {TRIES} times. {_said(problem)}\n{_remedy(self._run)}"
            )
        return None

    def _fail(self, message: str) -> None:
        """Write down why nothing is judged any more; where not even that can be written, end this process as SIGTERM does."""
        try:
            digest.write_json(self._failed, {"message": message})
        except (OSError, VoiceLatheError) as problem:
            print(f"{message}\n{self._failed} could not be written: {_said(problem)}", file=sys.stderr)
            os.kill(os.getpid(), signal.SIGTERM)


def _said(problem: Exception) -> str:
    return str(problem) if isinstance(problem, VoiceLatheError) else f"{type(problem).__name__}: {problem}"


def _remedy(run: records.RunRecord) -> str:
    return (
        "Training ended at its next checkpoint, and all of it is saved: correct what is named and run the same command again. "
        f"Or train all steps, which is another run: recipes.{run.recipe}.train.early_stopping: null."
    )
