"""What does a person who compares recipes see first in MLflow? A saved view of the experiment, and the link to it in its description.

MLflow 3.17 keeps a saved view in a tag of the experiment, `mlflow.sharedViewState.ID`: its name, when it was made and the state of
the page. Our view keeps its ID whatever it holds, so that links to it stay right; a view of any other ID is a person's.
"""

import base64
import functools
import json
import sys
import zlib
from collections.abc import Iterable
from typing import Any

from voicelathe.tracking import store as stores
from voicelathe.tracking.curves import GRADIENTS, SECTION, SPEED
from voicelathe.tracking.runs import TAG
from voicelathe.tracking.store import Store, mlflow

ID, NAME = "voicelathe-comparison", "Compare recipes"
VIEW_TAG, NOTE_TAG = f"mlflow.sharedViewState.{ID}", "mlflow.note.content"
MACHINE_LEARNING = "workflowType=machine_learning"  # MLflow opens at pages for chat agents without it
LIMIT_CHARS = 5000  # of a tag, in older servers; 20,000 in MLflow 3.17
NUM_RUNS = 100  # the newest ones, whose metrics decide which curves are drawn
HEADING = "Low cer, high likeness; selected = 1 ships"  # longer ones are cut off
SHIPS = "speech_selected"  # metrics of the selected candidate
COLUMNS = {  # of the table of runs, with their widths in pixels
    f"tags.`{TAG}decision`": 150,
    f"tags.`{TAG}selected`": 150,
    f"metrics.`{SHIPS}/cer`": 170,
    f"metrics.`{SHIPS}/likeness`": 190,
    "metrics.`val_selected/loss_total`": 190,
}
FOLDED = (SECTION, GRADIENTS, SPEED, "vram_plan", "System metrics")  # before a run has metrics in them, too
BEGINNING = "One run for each training of a recipe"
REST = (
    "Start with its note: it says what ships and why. `report.html` and `listening.html` are among its "
    "artifacts. Charts: `speech/` is what was heard of every checkpoint, `val/` its losses. Everything here is a mirror of local files: "
    "`voicelathe track RECIPE` rebuilds it."
)
FORMER_NOTES = (None, f"{BEGINNING}. {REST}")  # what a person wrote instead stays
State = dict[str, Any]


def ensure(store: Store) -> None:
    """Write the view and the description where they are missing or were ours and differ.

    A server that refuses them is named once; nothing else depends on them.
    """
    experiment = store.client.get_experiment(store.experiment_id)
    newest = store.client.search_runs([store.experiment_id], max_results=NUM_RUNS)
    value = view({key for run in newest for key in run.data.metrics}, experiment.creation_time or 0)
    held = experiment.tags
    tags = {VIEW_TAG: value} if held.get(VIEW_TAG) != value else {}
    if held.get(NOTE_TAG) in FORMER_NOTES:
        tags[NOTE_TAG] = note(store.experiment_id)
    try:
        for key, text in tags.items():
            store.client.set_experiment_tag(store.experiment_id, key, text)
    except mlflow("mlflow.exceptions").MlflowException as problem:
        _say_once(
            f"MLflow at {store.shown} does not take the saved view {NAME!r} ({stores.reason(problem)}). Nothing else is missing."
        )


def place(experiment_id: str, as_table: bool = False) -> str:
    """Where the view opens, behind the server's address; as a link of one of its pages it holds under any path."""
    mode = "" if as_table else "&compareRunsMode=CHART"
    return f"#/experiments/{experiment_id}/runs?{MACHINE_LEARNING}&viewStateShareKey={ID}{mode}"


def note(experiment_id: str) -> str:
    """The experiment's description. MLflow shows its first line only, so the links come early."""
    links = f"[compare them]({place(experiment_id)}), [as a table]({place(experiment_id, as_table=True)})"
    return f"{BEGINNING}: {links}. {REST}"


def view(keys: Iterable[str], made_ms: int) -> str:
    """The tag's value for runs with these metrics; the same for the same ones, and never too long for a tag."""
    known = sorted(set(keys))
    whole = _enveloped(_state(known), made_ms)
    return whole if len(whole) <= LIMIT_CHARS else _enveloped(_state([]), made_ms)


def _enveloped(state: State, made_ms: int) -> str:
    plain = json.dumps(state, separators=(",", ":"))
    packed = base64.b64encode(zlib.compress(plain.encode(), 9)).decode()
    return json.dumps(
        {"name": NAME, "createdAt": made_ms, "updatedAt": made_ms, "state": f"deflate;{packed}"}
    )


def _state(keys: list[str]) -> State:
    """What the page shows; the rest of its settings stays as MLflow has it."""
    names = sorted({*FOLDED, *(key.rpartition("/")[0] for key in keys)} - {"", "system"}, key=str.lower)
    folded = [_section(f"of-{name}", name, False) for name in names]
    return {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "columnWidths": COLUMNS,
        "compareRunCharts": _charts(keys),
        "compareRunSections": [{**_section(ID, HEADING, True), "columns": 3, "cardHeight": 300}, *folded],
        "isAccordionReordered": True,  # ours first; MLflow would sort by name
        "hideEmptyCharts": True,
    }


def _charts(keys: list[str]) -> list[State]:
    """Two rows of three: what was heard and what ships of it; losses, gradients and the recipes' choices beside each other."""
    return [
        *(_line(_scales("speech", name, keys)) for name in ("cer", "likeness", "selected")),
        _line(_scales("val", "loss_total", keys)),
        {**_line([f"{GRADIENTS}/norm"]), "displayPoints": False},
        _scatter(f"{SHIPS}/words", f"{SHIPS}/likeness"),
    ]


def _scales(section: str, name: str, keys: list[str]) -> list[str]:
    """The curve of the main LoRA scale, then those of the others: what ships may be one of them."""
    return [
        f"{section}/{name}",
        *(key for key in keys if key.startswith(f"{section}_scale_") and key.endswith(f"/{name}")),
    ]


def _line(keys: list[str]) -> State:
    return {
        **_card(f"line-{keys[0]}", "LINE"),
        "metricKey": keys[0],
        "selectedMetricKeys": keys,
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "scaleType": "linear",
        "xAxisScaleType": "linear",
        "lineSmoothness": 0,
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
    }


def _scatter(x: str, y: str) -> State:
    axes = {name: {"key": key, "type": "METRIC"} for name, key in (("xaxis", x), ("yaxis", y))}
    return {**_card(f"scatter-{x}", "SCATTER"), **axes, "runsCountToCompare": NUM_RUNS}


def _card(uuid: str, kind: str) -> State:
    return {"uuid": uuid, "type": kind, "metricSectionId": ID, "deleted": False, "isGenerated": False}


def _section(uuid: str, name: str, is_open: bool) -> State:
    return {
        "uuid": uuid,
        "name": name,
        "display": is_open,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
    }


@functools.cache
def _say_once(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
