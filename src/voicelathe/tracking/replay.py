"""Rebuild the mirror of one recipe from its local files. Twice is the same as once: nothing is doubled, nothing lost.

This is what the stage `track` does, and what repairs MLflow after an outage, a lost database or a killed training.
"""

from pathlib import Path
from typing import Any

from voicelathe.config import schema
from voicelathe.tracking import artifacts, candidates, runs
from voicelathe.tracking import files as run_files
from voicelathe.tracking.curves import SPEED, Curves, Point
from voicelathe.tracking.files import RunFiles
from voicelathe.tracking.live import usage
from voicelathe.tracking.pages import comparison
from voicelathe.tracking.runs import TAG
from voicelathe.tracking.store import Store, connect, usable


def mirror_all(recipe: str, tracking: schema.Tracking, root: Path) -> dict[str, Any]:
    """Bring everything of a recipe's run into MLflow. Returns counts and digests, the same for every call.

    Raises TrackingError when MLflow cannot be used, RecordError when a local file is missing or of another run.
    """
    files = run_files.read(recipe, root)
    store = connect(tracking, root)
    with usable(store.uri):
        run = runs.ensure(store, files.run, root)
        curves = _send_steps(store, run, files)
        candidates.mirror(store, run, files, tracking.upload)
        _log_outcome(store, run, files)
        runs.log_plan(store, run, files.run, root)
        comparison.ensure(store)
        listing = artifacts.mirror(store, run, files)
        if run.info.status != "FINISHED":
            store.client.set_terminated(
                run.info.run_id, "FINISHED", usage.ended_ms(root / files.run.directory)
            )
    return {
        "run_digest": files.run.run_digest,
        "curves": curves,
        "candidates": {one.title: one.checkpoint.sha256 for one in files.candidates},
        "num_samples": sum(len(one.samples) for one in files.candidates),
        "weights_in_mlflow": [
            c.title for c in files.candidates if candidates.uploads(files, c, tracking.upload)
        ],
        "artifacts": listing,
    }


def _send_steps(store: Store, run: Any, files: RunFiles) -> dict[str, int]:
    """Send the points the store lacks. Returns the number of points of every curve that does not depend on speed."""
    curves = Curves(run.info.start_time)
    curves.take(files.steps, files.timings)
    points = curves.ready(final=True)
    every = points + usage.of(files.root / files.run.directory)
    held = runs.history(store, run, {point.key for point in every})
    runs.send(store, run.info.run_id, [point for point in every if (point.key, point.step) not in held])
    return _counts([point for point in points if point.key != f"{SPEED}/clips_per_s"])


def _counts(points: list[Point]) -> dict[str, int]:
    return {key: sum(point.key == key for point in points) for key in sorted({point.key for point in points})}


def _log_outcome(store: Store, run: Any, files: RunFiles) -> None:
    """The decision on the run itself: a sortable metric, tags and the note that its page opens with."""
    selection, selected = files.selection, files.selected
    tags = {
        f"{TAG}decision": selection.decision,
        f"{TAG}selected": selection.selected or "none",
        "mlflow.note.content": _note(files),
    }
    runs.write(store, run.info.run_id, {}, {k: v for k, v in tags.items() if run.data.tags.get(k) != v})
    if selected is None or selected.evaluation is None:
        return
    named = {"val_selected/loss_total": selected.evaluation.total}
    base = next((one for one in files.candidates if one.candidate.name == selection.base), None)
    if base and base.evaluation:  # a loss that is lower says nothing about a voice: `_heard` does
        named["val_selected/loss_below_base"] = base.evaluation.total - selected.evaluation.total
    named |= _heard(files)
    held = runs.history(store, run, named)
    step, at_ms = selected.candidate.step, run.info.start_time
    late = 1 + max((known.at_ms for known in held.values()), default=at_ms)
    points = [Point(key, value, step, late) for key, value in named.items()]
    changed = [p for p in points if (known := held.get((p.key, step))) is None or known.value != p.value]
    runs.send(store, run.info.run_id, changed)


def _heard(files: RunFiles) -> dict[str, float]:
    """Words and likeness of the selected candidate, and how far it came, to sort runs by."""
    found = next((one for one in files.selection.evidence if one.candidate == files.selection.selected), None)
    named = {f"speech_selected/{name}": level.mean for name, level in found.levels.items()} if found else {}
    if found and "words" in found.levels:
        named["speech_selected/cer"] = 1.0 - found.levels["words"].mean
    if found and found.gain:
        named["speech_selected/likeness_gain"] = found.gain.difference
    return named


def _note(files: RunFiles) -> str:
    """Markdown for the run's page."""
    selection = files.selection
    chosen = f"**{selection.selected or selection.decision.replace('_', ' ')}**"
    trained = "" if selection.base_trained else " (untrained base: a demonstration, not a voice)"
    reasons = "\n".join(f"- {reason}" for reason in selection.reasons)
    return f"{files.run.recipe}: {chosen}{trained}\n\n{reasons}\n\nListen: artifact `listening.html`; `report.html` says why."
