"""`voicelathe summary`: where the project stands, in one screen. It also ends `make repro`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe import layout
from voicelathe.cli import screen
from voicelathe.cli.recipes import weights
from voicelathe.errors import RecordError

if TYPE_CHECKING:
    from voicelathe.cli.recipes.weights import Weights
    from voicelathe.records import EvaluationRecord, Evidence, Selection

DAMAGED = 3  # exit code, as of `verify`
BEFORE_TRAINING = ("preflight.json", "run.json")
ROWS = ("decision", "selected", "words, base", "likeness, base", "validation", "base", "samples", "weights")
AFTER_TRAINING = ("evaluations.jsonl", "samples.jsonl", "selection.json")

Deep = Annotated[
    bool, typer.Option("--deep", help="Hash every byte of the weights, not only their names and sizes.")
]


@dataclass(frozen=True)
class RecipeColumn:
    """One recipe in the table, and the weights behind it."""

    cells: dict[str, str]  # by row
    weights: Weights | None
    reasons: list[str]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("summary")(summary)


def summary(deep: Deep = False) -> None:
    """Rows kept and dropped, what each recipe came to, whether its weights are there, and the pages to open."""
    from voicelathe.config import params

    recipes = params.load().recipes
    _data()
    columns = {name: _recipe(name, deep) for name in recipes}
    _recipes(columns)
    for name, column in columns.items():
        for reason in column.reasons:
            screen.say(f"{name}: {reason}")
    _pages(list(recipes))
    damaged = {name: one.weights for name, one in columns.items() if one.weights and one.weights.problems}
    for name, found in damaged.items():
        screen.say(f"{name}: weights are missing or changed.")
        for problem in found.problems:
            screen.say(f"  {problem}")
        screen.say(f"  {weights.remedy(name)}")
    if damaged:
        raise typer.Exit(DAMAGED)


def _data() -> None:
    """Rows kept and dropped; a row with several reasons counts under each of them."""
    from voicelathe import records

    clean, dropped = layout.SUMMARY.with_name("clean.jsonl"), layout.SUMMARY.with_name("quarantine.jsonl")
    if not clean.is_file() or not dropped.is_file():
        screen.say("data: not audited yet. Run: make repro")
        return
    kept = records.read(clean, records.CleanClip)
    out = records.read(dropped, records.Quarantined)
    reasons = Counter(reason for row in out for reason in set(row.reasons))
    rows = [("kept", f"{len(kept):,}"), ("dropped", f"{len(out):,}")]
    rows += [
        (f"  {reason}", f"{count:,}")
        for reason, count in sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
    ]
    splits = {name: layout.split(name) for name in layout.SPLITS}
    if all(path.is_file() for path in splits.values()):
        rows += [
            (f"split {name}", f"{len(records.read(path, records.CleanClip)):,}")
            for name, path in splits.items()
        ]
    screen.table("data", ("rows", "count"), rows)


def _recipes(columns: dict[str, RecipeColumn]) -> None:
    """One column a recipe: losses are short and recipes are few, so it fits a narrow terminal."""
    named = {row: None for column in columns.values() for row in column.cells}
    parts = sorted(row for row in named if row.startswith("  "))  # "  validation diff", under "validation"
    rows = [
        label
        for row in ROWS
        for label in (row, *(part for part in parts if part.startswith(f"  {row} ")))
        if label in named
    ]
    cells = [[row, *(column.cells.get(row, "-") for column in columns.values())] for row in rows]
    screen.table("recipes", ("", *columns), cells)


def _recipe(name: str, deep: bool) -> RecipeColumn:
    """A finished recipe as numbers, an unfinished one with the first thing it lacks."""
    from voicelathe import records
    from voicelathe.runs import results

    wanted = AFTER_TRAINING if layout.run(name, "run.json").is_file() else BEFORE_TRAINING
    missing = next((file for file in wanted if not layout.run(name, file).is_file()), None)
    found = None
    if layout.run(name, "checkpoints.json").is_file() and layout.run(name, "run.json").is_file():
        found = weights.inspect(*results.read(name), deep)
    shown = {"weights": str(found)} if found else {}
    if missing is not None:
        return RecipeColumn({"decision": "not finished", **shown}, found, [_unfinished(name, missing)])
    choice = records.read_one(layout.run(name, "selection.json"), records.Selection)
    evaluations = {
        one.candidate: one
        for one in records.read(layout.run(name, "evaluations.jsonl"), records.EvaluationRecord)
    }
    samples = records.read(layout.run(name, "samples.jsonl"), records.SampleRecord)
    broken = sum(1 for sample in samples if sample.problem)
    cells = {
        "decision": choice.decision.replace("_", " "),
        "selected": choice.selected or (f"none; best: {choice.nominee}" if choice.nominee else "none"),
        **_heard(choice),
        **_losses("validation", evaluations.get(choice.selected or choice.nominee or "")),
        **_losses("base", evaluations.get("base"), "" if choice.base_trained else " (untrained)"),
        "samples": f"{len(samples)}" + (f", {broken} failed" if broken else ""),
        **shown,
    }
    return RecipeColumn(cells, found, choice.reasons)


def _unfinished(name: str, missing: str) -> str:
    from voicelathe import records

    trial = layout.run(name, "preflight.json")
    if trial.is_file():
        try:
            found = records.read_one(trial, records.PreflightRecord)
        except RecordError as problem:
            return str(problem)
        if found.decision != "go":
            return f"stopped by preflight: {'; '.join(found.reasons)}"
    return f"not finished: no {layout.run(name, missing)}"


def _heard(choice: Selection) -> dict[str, str]:
    """Words kept and likeness of the candidate that the decision is about, beside the base to beat."""
    by_name = {one.candidate: one for one in choice.evidence}
    mine, base = by_name.get(choice.selected or choice.nominee or ""), by_name[choice.base]
    return {
        f"{measure}, base": f"{_level(mine, measure)}, {_level(base, measure)}"
        for measure in ("words", "likeness")
    }


def _level(one: Evidence | None, measure: str) -> str:
    return f"{one.levels[measure].mean:.3f}" if one and measure in one.levels else "-"


def _losses(what: str, one: EvaluationRecord | None, note: str = "") -> dict[str, str]:
    """The total, and its parts in rows of their own."""
    if one is None:
        return {}
    parts = {f"  {what} {name}": f"{value:.4f}" for name, value in one.losses.items()}
    return {what: f"{one.total:.4f}{note}", **parts}


def _pages(recipes: list[str]) -> None:
    pages: list[tuple[str, Path]] = [("data report", layout.DATA_REPORT), ("data gate", layout.GATE_REPORT)]
    for name in recipes:
        pages += [
            (f"listen to {name}", layout.run(name, "listening.html")),
            (f"report of {name}", layout.run(name, "report.html")),
        ]
    pages.append(("recipes compared", layout.COMPARISON))
    there = [(what, str(path)) for what, path in pages if path.is_file()]
    if there:
        screen.table("pages", ("what", "file"), there)
    screen.say("MLflow, every run, curve and sample: make ui")
