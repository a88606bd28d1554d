"""What does each test cost, whatever else the machine does? Seconds of CPU, of the processes that it started, too.

python -m pytest -p tests.cpu_times --cpu-times FILE ... adds a line `seconds test` for each test and each of its fixtures' making;
python -m tests.cpu_times FILE... prints the most expensive as the table of tests/DURATIONS.md. Without `-n`: a worker is a child of its own.
"""

import resource
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

SHOWN = 40


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cpu-times", metavar="FILE", type=Path, default=None)


def spent_s() -> float:
    """Of this process and of the children that it has waited for."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = spent_s()
    result = yield
    if path := item.config.getoption("--cpu-times"):
        with path.open("a") as file:
            file.write(f"{spent_s() - before:.2f} {item.nodeid}\n")
    return result


def table(paths: list[Path]) -> str:
    """Markdown: seconds of each file of tests, and the most expensive tests. A test that was run again counts once, as it was last."""
    seconds: dict[str, float] = {}
    for path in paths:
        for line in path.read_text().splitlines():
            cost, name = line.split(" ", 1)
            seconds[name] = float(cost)
    files: Counter[str] = Counter()
    for name, cost in seconds.items():
        files[name.split("::")[0]] += cost
    rows = [f"{len(seconds)} tests, {sum(seconds.values()):.0f} s of CPU.", "", "| file | s |", "|---|--:|"]
    rows += [f"| `{name}` | {cost:.1f} |" for name, cost in files.most_common(SHOWN)]
    rows += ["", "| test | s |", "|---|--:|"]
    dearest = sorted(seconds.items(), key=lambda pair: (-pair[1], pair[0]))[:SHOWN]
    rows += [f"| `{name}` | {cost:.1f} |" for name, cost in dearest]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table([Path(one) for one in sys.argv[1:]]))
