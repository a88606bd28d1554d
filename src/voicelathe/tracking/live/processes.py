"""Who holds something in MLflow, and is that process dead? Answered for this machine only; others get the benefit of the doubt.

Two containers may have one host name and the same numbers of processes, so a mark also names the boot of the kernel and the namespace
in which the number counts. Without both it cannot be told whether a process is dead.
"""

import os
import socket
from pathlib import Path

HOST_NAMESPACE = "4026531836"  # include/linux/proc_ns.h, PROC_PID_INIT_INO: the namespace of processes outside any container


def mark(pid: int | None = None) -> str:
    """A process, told apart from a later one with the same number: host/boot/namespace/pid/start."""
    pid = os.getpid() if pid is None else pid
    return f"{_here()}/{pid}/{_started(pid)}"


def is_dead(marked: str) -> bool:
    """True when the process was on this machine and is gone; False for other machines, other containers and what is no mark.

    A boot before this one ended all its processes, but only outside of containers a host name says which machine it was.
    """
    parts = marked.split("/")
    if len(parts) != 5 or not parts[3].isdigit():
        return False
    host, boot, namespace, pid, started = parts
    if f"{host}/{boot}/{namespace}" == _here():
        return _started(int(pid)) != started
    is_earlier = boot not in ("", _boot()) and (host, namespace) == (socket.gethostname(), HOST_NAMESPACE)
    return is_earlier and _namespace() == HOST_NAMESPACE


def _here() -> str:
    return f"{socket.gethostname()}/{_boot()}/{_namespace()}"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:13]
    except OSError:
        return "unknown"


def _namespace() -> str:
    try:
        return Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        return "unknown"


def _started(pid: int) -> str:
    """Clock ticks from boot to the start of a process (proc(5), field 22); nothing for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
