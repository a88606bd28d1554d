"""Which experiment is better, and why? One flat metric file and three plots a recipe, for `dvc exp show`, `metrics diff`, `plots diff`.

DVC compares revisions by such files; it reads neither MLflow nor our pages. A number is missing where nothing was measured.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.records import EvaluationRecord, Evidence, Selection, StepRecord

METRICS = "experiment.json"
TRAINING, CHECKPOINTS, WORDS_LIKENESS = (
    "plots/training.csv",
    "plots/checkpoints.csv",
    "plots/words_likeness.csv",
)
FILES = (METRICS, TRAINING, CHECKPOINTS, WORDS_LIKENESS)
DIGITS = 6
Cell = str | int | float | None


def write(recipe: str, chosen: Selection, root: Path) -> None:
    """Every file of `FILES` below runs/<recipe>/."""
    found, plots = of(recipe, chosen, root)
    digest.write_json(root / layout.run(recipe, METRICS), found)
    for name, table in plots.items():
        digest.write_text(root / layout.run(recipe, name), table)


def of(recipe: str, chosen: Selection, root: Path) -> tuple[dict[str, Cell], dict[str, str]]:
    """The metrics, and each plot's file with its content."""
    evaluations = records.read(root / layout.run(recipe, "evaluations.jsonl"), EvaluationRecord)
    steps = records.read(root / layout.run(recipe, "steps.jsonl"), StepRecord)
    candidates = _candidates(chosen, evaluations)
    spoken = [row for row in candidates if row["words"] is not None and row["likeness"] is not None]
    plots = {
        TRAINING: _table(_training(steps), ["step", "total"]),
        CHECKPOINTS: _table(
            [row for row in candidates if row["candidate"] != "base_zero_shot"], ["step", "total"]
        ),
        WORDS_LIKENESS: _table(spoken, ["words", "likeness"]),
    }
    return metrics(chosen, evaluations), plots


def metrics(chosen: Selection, evaluations: Sequence[EvaluationRecord]) -> dict[str, Cell]:
    """Of the candidate that the decision is about (the selected one, or else the nominee), beside the base to beat."""
    shown = chosen.selected or chosen.nominee or ""
    by_name = {one.candidate: one for one in evaluations}
    heard = {one.candidate: one for one in chosen.evidence}
    mine, base = by_name.get(shown), by_name.get(chosen.base)
    return {
        "decision": chosen.decision,
        "selected_step": chosen.step,
        "shown": shown or None,
        "validation_total": _rounded(mine.total if mine else None),
        "base_total": _rounded(base.total if base else None),
        **{f"validation_{name}": _rounded(value) for name, value in (mine.losses if mine else {}).items()},
        **{f"base_{name}": _rounded(value) for name, value in (base.losses if base else {}).items()},
        "cer": _cer(heard.get(shown)),
        "base_cer": _cer(heard.get(chosen.base)),
        "likeness": _level(heard.get(shown), "likeness"),
        "base_likeness": _level(heard.get(chosen.base), "likeness"),
        "quality": _level(heard.get(shown), "quality"),
        "base_quality": _level(heard.get(chosen.base), "quality"),
        "likeness_gain": _rounded(gain.difference if (gain := _gain(heard.get(shown))) else None),
        "lowest_total": _rounded(min((one.total for one in evaluations if one.step > 0), default=None)),
    }


def _gain(one: Evidence | None) -> records.LineTest | None:
    return one.gain if one else None


def _candidates(chosen: Selection, evaluations: Iterable[EvaluationRecord]) -> list[dict[str, Cell]]:
    heard = {one.candidate: one for one in chosen.evidence}
    return [
        {
            "candidate": one.candidate,
            "step": one.step,
            "total": _rounded(one.total),
            **{name: _rounded(value) for name, value in one.losses.items()},
            "words": _level(heard.get(one.candidate), "words"),
            "likeness": _level(heard.get(one.candidate), "likeness"),
            "cer": _cer(heard.get(one.candidate)),
            "standing": standing.standing if (standing := heard.get(one.candidate)) else None,
        }
        for one in evaluations
    ]


def _training(steps: Iterable[StepRecord]) -> list[dict[str, Cell]]:
    return [
        {
            "step": one.step,
            "total": _rounded(one.total),
            **{name: _rounded(value) for name, value in one.losses.items()},
            "grad_norm": _rounded(one.grad_norm),
            "learning_rate": one.learning_rate,
        }
        for one in steps
    ]


def _table(rows: Sequence[Mapping[str, Cell]], columns: Sequence[str]) -> str:
    """CSV with every column of the rows; `columns` are its head where there is no row."""
    text = io.StringIO()
    table = csv.DictWriter(
        text, list(dict.fromkeys([key for row in rows for key in row])) or list(columns), lineterminator="\n"
    )
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _cer(one: Evidence | None) -> float | None:
    """Characters lost: `words` is the share that the recogniser hears."""
    kept = _level(one, "words")
    return None if kept is None else _rounded(1.0 - kept)


def _level(one: Evidence | None, measure: str) -> float | None:
    return _rounded(one.levels[measure].mean) if one and measure in one.levels else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
