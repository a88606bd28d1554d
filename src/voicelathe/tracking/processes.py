"""Who holds something in MLflow, and is that process dead? Answered for this machine only; others get the benefit of the doubt."""

import os
import socket
from pathlib import Path


def mark(pid: int | None = None) -> str:
    """A process, told apart from a later one with the same number: host/pid/start."""
    pid = os.getpid() if pid is None else pid
    return f"{socket.gethostname()}/{pid}/{_started(pid)}"


def is_dead(marked: str) -> bool:
    """True when the process was on this machine and is gone; False for other machines and for what is no mark."""
    host, _, rest = marked.partition("/")
    pid, _, started = rest.partition("/")
    return host == socket.gethostname() and pid.isdigit() and _started(int(pid)) != started


def _started(pid: int) -> str:
    """Clock ticks from boot to the start of a process (proc(5), field 22); nothing for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
