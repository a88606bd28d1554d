"""Progress with rate and time left: a live bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any

QUIET_S = 15.0  # between two lines where there is no terminal


class Display:
    """One task's progress; use as a context manager."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._bar: Any = None
        self._task: Any = None
        self._began: float | None = None
        self._first = 0
        self._printed = time.monotonic()

    def __enter__(self) -> "Display":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def phase(self, name: str) -> None:
        """Show what the worker does while there is nothing to count."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, phase=name)

    def notice(self, text: str) -> None:
        """Show a sentence that should be read, above the bar."""
        if self._bar is not None:
            self._bar.console.print(f"{self.label}: {text}", markup=False, highlight=False)
        else:
            print(f"{self.label}: {text}", file=sys.stderr, flush=True)

    def advance(self, done: int, total: int, unit: str) -> None:
        """Report that `done` of `total` are finished. The rate is that of this process: what a resume found does not count."""
        now = time.monotonic()
        if self._began is None:
            self._began, self._first = now, done
        rate = (done - self._first) / max(now - self._began, 1e-3)
        text = f"{rate:.2f} {unit}/s, {_clock((total - done) / rate)} left" if rate > 0 else ""
        if sys.stderr.isatty():
            self._draw(done, total, text)
        elif now - self._printed > QUIET_S:
            self._printed = now
            print(f"{self.label}: {done}/{total} {unit} {text}", file=sys.stderr, flush=True)

    def _draw(self, done: int, total: int, text: str) -> None:
        if self._bar is None:
            self._bar, self._task = _bar(self.label, total)
        self._bar.update(self._task, completed=done, total=total, speed=text)


def _bar(label: str, total: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("[dim]{task.fields[phase]}"),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    bar.start()
    return bar, bar.add_task(label, total=total, speed="", phase="")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
