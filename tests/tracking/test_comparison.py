"""The saved view of the experiment: what it draws, that writing it twice is writing it once, and what it leaves alone."""

import base64
import itertools
import json
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from tests.factories.proxies import Proxy
from voicelathe.tracking import replay, store
from voicelathe.tracking.live.mirror import Mirror
from voicelathe.tracking.pages import comparison

SERVED_CHARS = 5000  # what older servers take
SCALES = [f"speech_scale_{one / 100:g}/{name}" for one in range(1, 400) for name in ("cer", "likeness")]


def tags(root: Path) -> dict[str, str]:
    found: dict[str, str] = stores.client(root).get_experiment_by_name("voicelathe").tags
    return found


def state(value: str) -> dict[str, Any]:
    """What MLflow's page makes of the tag."""
    envelope = json.loads(value)
    assert isinstance(envelope["name"], str) and isinstance(envelope["createdAt"], int)
    kind, _, packed = envelope["state"].partition(";")
    assert kind == "deflate"
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return found


def drawn(found: dict[str, Any]) -> list[str]:
    """The metrics of all charts, in the order of the charts."""
    named = []
    for chart in found["compareRunCharts"]:
        named += chart.get("selectedMetricKeys") or [chart["xaxis"]["key"], chart["yaxis"]["key"]]
    return named


def test_the_view_draws_words_likeness_and_what_ships_and_runs_have_all_of_it(tracked_project: Path) -> None:
    run = stores.only_run(stores.client(tracked_project))
    found = state(tags(tracked_project)[comparison.VIEW_TAG])
    assert drawn(found) == [
        *("speech/cer", "speech/likeness", "speech/selected"),
        *("val/loss_total", "train_gradients/norm", "speech_selected/words", "speech_selected/likeness"),
    ]
    assert set(drawn(found)) <= run.data.metrics.keys()
    for column in found["selectedColumns"]:
        kind, _, name = column.partition(".")
        assert name.strip("`") in {"metrics": run.data.metrics, "tags": run.data.tags}[kind], column


def test_every_other_section_is_folded(tracked_project: Path) -> None:
    run = stores.only_run(stores.client(tracked_project))
    sections = state(tags(tracked_project)[comparison.VIEW_TAG])["compareRunSections"]
    assert [one["name"] for one in sections if one["display"]] == [comparison.HEADING]
    prefixes = {key.rpartition("/")[0] for key in run.data.metrics} - {"system"}
    assert prefixes <= {one["name"] for one in sections}, "MLflow would add these, open"


def test_the_description_links_the_view_and_says_where_to_start(tracked_project: Path) -> None:
    experiment = stores.client(tracked_project).get_experiment_by_name("voicelathe")
    said = experiment.tags[comparison.NOTE_TAG]
    assert f"]({comparison.place(experiment.experiment_id)})" in said and "Start with its note" in said


def test_a_second_time_writes_nothing(project: Path) -> None:
    opened = store.connect(runs.tracking(), project)
    with sqlite3.connect(project / "mlflow.db") as database:
        before = database.execute("pragma data_version").fetchone()
        comparison.ensure(opened)
        assert database.execute("pragma data_version").fetchone() == before
        opened.client.delete_experiment_tag(opened.experiment_id, comparison.VIEW_TAG)
        comparison.ensure(opened)
        assert database.execute("pragma data_version").fetchone() != before


def test_what_a_person_wrote_stays_and_what_we_wrote_before_is_replaced(project: Path) -> None:
    opened = store.connect(runs.tracking(), project)
    theirs = {"mlflow.sharedViewState.17959180470345tldmx0i": "{}", comparison.NOTE_TAG: "Anna's voices"}
    for key, value in {**theirs, comparison.VIEW_TAG: "of an earlier version"}.items():
        opened.client.set_experiment_tag(opened.experiment_id, key, value)
    comparison.ensure(opened)
    assert {key: tags(project)[key] for key in theirs} == theirs
    assert "speech/cer" in drawn(state(tags(project)[comparison.VIEW_TAG]))
    assert sum(key.startswith("mlflow.sharedViewState.") for key in tags(project)) == 2
    former = comparison.FORMER_NOTES[1]
    opened.client.set_experiment_tag(opened.experiment_id, comparison.NOTE_TAG, former)
    comparison.ensure(opened)
    assert tags(project)[comparison.NOTE_TAG] == comparison.note(opened.experiment_id)


def test_curves_of_other_lora_scales_are_in_the_same_charts() -> None:
    """What ships may be one of them; then the curve of the main scale never says 1."""
    keys = ["speech/selected", "speech_scale_0.35/selected", "val_scale_0.35/loss_total", "speech_selected/x"]
    found = drawn(state(comparison.view(keys, 0)))
    assert found[2:4] == ["speech/selected", "speech_scale_0.35/selected"]
    assert found[4:6] == ["val/loss_total", "val_scale_0.35/loss_total"]


def test_the_same_metrics_in_any_order_give_the_same_view_and_none_is_too_long() -> None:
    for keys in itertools.permutations(SCALES[:3]):
        assert comparison.view(keys, 7) == comparison.view(SCALES[:3], 7)
    assert len(comparison.view(SCALES[:40], 0)) <= SERVED_CHARS
    assert SCALES[39] in drawn(state(comparison.view(SCALES[:40], 0)))
    assert len(comparison.view(SCALES, 0)) <= SERVED_CHARS
    assert drawn(state(comparison.view(SCALES, 0)))[0] == "speech/cer"


def test_a_training_that_has_just_begun_has_the_view(root: Path) -> None:
    with Mirror(runs.tracking(), runs.planned(root), root, every_s=0.05):
        pass
    assert comparison.VIEW_TAG in tags(root)
    assert comparison.ID in tags(root)[comparison.NOTE_TAG]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with stores.server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.mark.slow
def test_a_server_that_refuses_the_view_is_named_once_and_gets_everything_else(
    server: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Proxy(server, refused=comparison.ID.encode()).running() as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        for _ in range(2):
            replay.mirror_all("mini-lora", runs.tracking(), root)
        said = capsys.readouterr().err
        assert said.count("does not take the saved view") == 1 and "403" in said
        client = store.client_of(f"http://127.0.0.1:{port}")
        assert "speech/cer" in stores.only_run(client).data.metrics
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    replay.mirror_all("mini-lora", runs.tracking(), root)
    held = store.client_of(server).get_experiment_by_name("voicelathe").tags
    assert "speech/cer" in drawn(state(held[comparison.VIEW_TAG])), "a remote server has it as well"
    assert comparison.ID in held[comparison.NOTE_TAG]
