"""Is the checkpoint that is chosen the right one? Fine-tunes that help and that harm, an oracle that no decision hears, and its verdict.

    python -m benchmarks.bench_decisions make [--out FOLDER] [--case NAME...]      goes on where it was killed
    python -m benchmarks.bench_decisions report [--out FOLDER]                     from what is finished; speaks nothing
    python -m benchmarks.bench_decisions oracle PROJECT RECIPE... [--lines 16] [--before RECIPE=CANDIDATE]

`make` trains the table of `benchmarks.decisions.cases` with the real stages and lets every candidate speak 124 lines, 64 for a decision
and 60 for its oracle: some 20 minutes of one core for a case. `report` replays every rule from those samples. `oracle` asks of a finished
project whether its decision was right; it writes below the project's .cache only. Needs the Debian package flite.

Planted cases have tests of their own: a candidate that is better on average and worse in one stratum, and preferences of listeners, in
tests/evaluate/test_selection_rules.py; 200 simulated ties, of which at most one in twenty may be called, in tests/evaluate/test_racing.py.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.decisions import cases, finished, loading, making, report

OUT = Path(".cache/decisions")
DRAWS = 5  # of lines for decision and oracle, in the second table of rules and the two after it; the first has one draw a fine-tune


def make(out: Path, wanted: list[str]) -> None:
    place = making.Place(out.resolve())
    for case in cases.CASES:
        if case.name in wanted and not making.is_heard(place, case) and not place.failure(case).is_file():
            print(f"== {case.name}", file=sys.stderr, flush=True)
            making.make(place, case, cases.CASES)


def tell(out: Path) -> str:
    """Tables for benchmarks/RESULTS.md, and what is missing."""
    place = making.Place(out.resolve())
    many = list(loading.finished(place, DRAWS))
    known = many[::DRAWS]
    done = {one.trained.name for one in known}
    failed = [one.name for one in cases.CASES if place.failure(one).is_file()]
    missing = [one.name for one in cases.CASES if one.name not in done and one.name not in failed]
    parts = [f"Finished: {len(done)} of {len(cases.CASES)}. Training failed: {', '.join(failed) or 'none'}."]
    parts += [f"Missing: {', '.join(missing)}."] if missing else []
    if known:
        parts += [
            report.cases_table(known),
            report.rules_table(known),
            report.rules_table(many),
            report.ties_table(many),
        ]
        parts += [report.calibration_table(many)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    doing = parser.add_subparsers(dest="doing", required=True)
    names = [one.name for one in cases.CASES]
    for name in ("make", "report"):
        doing.add_parser(name).add_argument("--out", type=Path, default=OUT)
    doing.choices["make"].add_argument("--case", nargs="+", choices=names, default=names)
    asked = doing.add_parser("oracle", help="was the decision of a finished project right?")
    asked.add_argument("project", type=Path)
    asked.add_argument("recipes", nargs="+")
    asked.add_argument("--lines", type=int, default=16)
    asked.add_argument("--before", action="append", default=[], metavar="RECIPE=CANDIDATE")
    chosen = parser.parse_args()
    if chosen.doing == "make":
        make(chosen.out, chosen.case)
    elif chosen.doing == "report":
        print(tell(chosen.out))
    else:
        before = dict(one.split("=", 1) for one in chosen.before)
        print(finished.tell(chosen.project, chosen.recipes, chosen.lines, before))


if __name__ == "__main__":
    main()
