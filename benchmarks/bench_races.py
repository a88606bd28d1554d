"""How often does a race drop out whom all lines would have shipped, and how many samples does it save? Simulated, for docs/log.md.

    python -m benchmarks.bench_races [--races 200]

The tables are those of tests/evaluate/test_racing.py: six candidates, 24 lines in three blocks, words vary by 0.1 and one line in 25 is ruined.
"""

import argparse
from collections.abc import Mapping

from tests.evaluate.test_racing import CANDIDATES, HOW, race, shipped, table

NEARER = dict.fromkeys(CANDIDATES, 0.83)  # the base has 0.8 of likeness and keeps 0.85 of its words
FIRST = {**NEARER, "step-0": 0.85}
TRUTHS: Mapping[str, dict[str, dict[str, float]]] = {
    "all alike, nearer than the base by 0.03": {"likeness": NEARER},
    "step-0 nearer by 0.02 more, loses no words": {"likeness": FIRST},
    "the same, loses 0.02": {"likeness": FIRST, "words": {"step-0": 0.83}},
    "the same, loses 0.05, the margin": {"likeness": FIRST, "words": {"step-0": 0.8}},
    "all lose 0.05": {"likeness": NEARER, "words": dict.fromkeys(CANDIDATES, 0.8)},
    "likeness rises by 0.01 a step": {
        "likeness": {name: 0.83 + 0.01 * at for at, name in enumerate(CANDIDATES)}
    },
    "it rises by 0.03, words fall by 0.015": {
        "likeness": {name: 0.8 + 0.03 * at for at, name in enumerate(CANDIDATES)},
        "words": {name: 0.85 - 0.015 * at for at, name in enumerate(CANDIDATES)},
    },
    "likeness as the base": {},
}


def row(truth: str, means: Mapping[str, Mapping[str, float]], races: int) -> str:
    """One row of the table: who ships after all lines, how often the race had dropped it out, and the samples it took."""
    ships = lost = samples = 0
    for seed in range(races):
        found = table(24, means.get("words"), means.get("likeness"), seed=1000 + seed)
        best, (rounds, _, spoken) = shipped(found), race(found, HOW)
        samples += spoken
        ships += best is not None
        lost += best in {drop.candidate for part in rounds for drop in part.drops}
    exhaustive = races * 24 * (1 + len(CANDIDATES))
    return f"| {truth} | {ships} | {lost} | {samples / exhaustive:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--races", type=int, default=200)
    races = parser.parse_args().races
    print(
        f"| truth | ships of {races} | of those it had dropped out | samples, of exhaustive |\n|---|--:|--:|--:|"
    )
    for truth, means in TRUTHS.items():
        print(row(truth, means, races), flush=True)


if __name__ == "__main__":
    main()
