"""Making room: only what was judged and nobody needs goes, only as confirmed, and everything that checks weights knows of it."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs as factory
from voicelathe import checkpoints, digest, layout, records
from voicelathe.cli.recipes import weights
from voicelathe.errors import PromotionError, RecordError, RunLocked
from voicelathe.registry import promote, verify
from voicelathe.registry.weights import archive, retention
from voicelathe.runs import identity, locks, results, tombstones
from voicelathe.stages import train
from voicelathe.tracking import files as run_files
from voicelathe.tracking import replay

RECIPE, NAME = "mini-lora", "voicelathe"
SELECTED = "step_0000040"
OTHERS = ("step_0000010", "step_0000020", "step_0000030", "step_0000050", "step_0000060")


def directory(root: Path) -> Path:
    return root / run_files.read(RECIPE, root).run.directory


def finish(root: Path) -> Path:
    """As training leaves it: a state to resume from, a trial, and what a killed writer left."""
    here = directory(root)
    digest.write_json(here / identity.FINISHED, {"num_trainable": 90_000})
    digest.write_bytes(here / "state_0000060/optimizer.safetensors", b"s" * 1000)
    digest.write_bytes(here / ".tmp-step_0000060-1/lora_weights.safetensors", b"t" * 500)
    trial = here.with_name("preflight-0123456789abcdef")
    shutil.copytree(here / "step_0000010", trial / "step_0000002")
    digest.write_json(trial / identity.FINISHED, {})
    digest.write_bytes(trial / "speech/base/x.wav", b"speech")
    return here


@pytest.fixture
def promoted_run(promoted: Path) -> Path:
    finish(promoted)
    return promoted


@pytest.fixture
def inside(promoted_run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(promoted_run)
    yield promoted_run


def plan(root: Path, because: str | None = None) -> retention.RetentionPlan:
    return retention.plan([RECIPE], root, because)


def prune(root: Path) -> retention.RetentionPlan:
    return retention.apply([RECIPE], root, plan(root).digest)


def everything(root: Path) -> dict[str, str]:
    return digest.of_tree(root)


def test_a_plan_names_what_goes_with_its_bytes_and_what_stays_and_changes_nothing(promoted_run: Path) -> None:
    before = everything(promoted_run)
    found = plan(promoted_run)
    assert everything(promoted_run) == before and found.refusals == []
    names = [Path(one.path).name for one in found.doomed]
    assert names == [*OTHERS, "state_0000060", ".tmp-step_0000060-1", "step_0000002"]
    for one in found.doomed:
        sizes = [path.stat().st_size for path in (promoted_run / one.path).rglob("*") if path.is_file()]
        assert one.bytes == sum(sizes) > 0 and one.why
    assert found.bytes == sum(one.bytes for one in found.doomed)
    assert {Path(path).name: why for path, why in found.kept.items()} == {SELECTED: f"version 1 of {NAME}"}


def test_after_a_prune_production_verifies_and_nothing_else_was_touched(promoted_run: Path) -> None:
    before = everything(promoted_run)
    done = prune(promoted_run)
    after = everything(promoted_run)
    gone = {name for name in before if name not in after}
    assert gone == {name for name in before if any(name.startswith(f"{one.path}/") for one in done.doomed)}
    changed = {name for name in after if after[name] != before.get(name)}
    assert {name for name in changed if not name.startswith("mlflow.db")} <= {
        tombstones.FILE.as_posix(), f"{directory(promoted_run).relative_to(promoted_run).as_posix()}/.lock",
        f"{Path(done.doomed[-1].path).parent.as_posix()}/.lock", "registry/.lock",
    }  # fmt: skip
    assert verify.verify(f"models:/{NAME}@production", promoted_run).broken is None
    assert verify.verify(RECIPE, promoted_run).broken is None
    assert promote.promote(RECIPE, promoted_run).version == "1"
    again = plan(promoted_run)
    assert again.doomed == [] and again.refusals == []


def test_everything_that_looks_for_weights_knows_which_are_gone_on_purpose(
    inside: Path, tmp_path: Path
) -> None:
    run, listed = results.read(RECIPE)
    prune(inside)
    assert str(weights.inspect(run, listed, deep=True)) == "2 of 7, 5 pruned"
    shutil.rmtree(directory(inside) / SELECTED)
    found = weights.inspect(run, listed, deep=False)
    assert str(found) == "1 of 7, 5 pruned MISSING" and SELECTED in found.problems[0]


def test_the_index_of_a_finished_run_is_the_same_without_the_pruned_weights(inside: Path) -> None:
    from voicelathe.config import params

    run, listed = results.read(RECIPE)
    prune(inside)
    chosen = params.load()
    assert train._index(chosen, run) == listed


def test_an_archive_takes_what_is_left_and_another_store_is_mirrored(
    promoted_run: Path, tmp_path: Path, empty_database: Path
) -> None:
    prune(promoted_run)
    left = 2 + 1 + 2 * 7  # two files and the manifest of one checkpoint; samples
    sent = archive.archive(str(tmp_path / "archive"), [RECIPE], promoted_run)
    beside = 3  # finished.json and the two journals of the run
    assert sent.num_files + sent.num_there == left + beside
    assert archive.restore(str(tmp_path / "archive"), [RECIPE], promoted_run).num_there == left
    (promoted_run / "mlflow.db").write_bytes(empty_database.read_bytes())
    shutil.rmtree(promoted_run / "mlruns")
    replay.mirror_all(RECIPE, factory.tracking(), promoted_run)
    client = stores.client(promoted_run)
    held = {
        name: [one.path for one in client.list_logged_model_artifacts(model.model_id)]
        for name, model in stores.models(client).items()
    }
    assert "weights" in held[SELECTED] and "weights" not in held["step_0000050"]


def test_weights_that_are_gone_without_a_record_stay_a_broken_link(promoted_run: Path) -> None:
    prune(promoted_run)
    path = promoted_run / tombstones.FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    assert "step_0000060" in str(verify.verify(RECIPE, promoted_run).broken)


def test_no_record_excuses_the_weights_that_speak(promoted_run: Path) -> None:
    here = directory(promoted_run) / SELECTED
    relative = here.relative_to(promoted_run).as_posix()
    tombstones.append(
        [tombstones.Pruned(relative, checkpoints.identity(here), 1, "x", "now", None, "0")], promoted_run
    )
    assert verify.verify(RECIPE, promoted_run).broken is None
    shutil.rmtree(here)
    for what in (RECIPE, f"models:/{NAME}@production"):
        assert f"{SELECTED}/MANIFEST.json" in str(verify.verify(what, promoted_run).broken)


def test_every_bit_of_the_record_is_sealed(tmp_path: Path) -> None:
    tombstones.append(
        [tombstones.Pruned(f"checkpoints/{n}", "a" * 64, n, "x", "now", None, "0") for n in range(3)],
        tmp_path,
    )
    tombstones.append([tombstones.Pruned("checkpoints/3", "b" * 64, 3, "x", "now", "because", "0")], tmp_path)
    path, whole = tmp_path / tombstones.FILE, (tmp_path / tombstones.FILE).read_bytes()
    assert [one.path for one in tombstones.read(tmp_path)] == [f"checkpoints/{n}" for n in range(4)]
    for at in range(0, len(whole) * 8, 37):
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        with pytest.raises(RecordError, match=r"pruned\.jsonl:\d: "):
            tombstones.read(tmp_path)
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[1:]))
    with pytest.raises(RecordError, match=r"pruned\.jsonl:1: changed"):
        tombstones.read(tmp_path)


def test_every_version_that_ever_was_in_production_stays_and_so_does_the_nominee(promoted_run: Path) -> None:
    promote.promote(RECIPE, promoted_run, "warmer", "step_0000020")
    promote.promote(RECIPE, promoted_run, "colder", "step_0000030")
    amend(promoted_run, nominee="step_0000050@1")
    kept = {Path(path).name for path in plan(promoted_run).kept}
    assert kept == {SELECTED, "step_0000020", "step_0000030", "step_0000050"}
    prune(promoted_run)
    assert promote.rollback(promoted_run, "no").version == "2"


def amend(root: Path, **changes: Any) -> None:
    path = root / layout.run(RECIPE, "selection.json")
    digest.write_json(path, {**digest.read_json(path), **changes})


def drop(root: Path, name: str, candidate: str) -> None:
    """Forget a candidate's lines in a record, as if the stage had not come that far; the decision knows it so."""
    path = root / layout.run(RECIPE, name)
    lines = [
        line
        for line in path.read_bytes().splitlines(keepends=True)
        if json.loads(line)["candidate"] != candidate
    ]
    path.write_bytes(b"".join(lines))
    inputs = digest.read_json(root / layout.run(RECIPE, "selection.json"))["inputs"]
    amend(root, inputs={**inputs, layout.run(RECIPE, name).as_posix(): digest.of_file(path)})


def mute(root: Path, candidate: str) -> None:
    """As listen leaves it where upstream's code for speech is not installed."""
    path = root / layout.run(RECIPE, "samples.jsonl")
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    silent = {"path": None, "sha256": None, "problem": records.NOT_SPOKEN}
    rows = [{**row, **silent} if row["candidate"] == candidate else row for row in rows]
    path.write_bytes(b"".join(digest.canonical_json(row).encode() + b"\n" for row in rows))
    inputs = digest.read_json(root / layout.run(RECIPE, "selection.json"))["inputs"]
    name = layout.run(RECIPE, "samples.jsonl").as_posix()
    amend(root, inputs={**inputs, name: digest.of_file(path)})


@pytest.mark.parametrize(
    "case, message",
    [
        ("evaluations.jsonl", "not evaluated: step_0000010"),
        ("samples.jsonl", "never spoke: step_0000010"),
        ("not spoken", "never spoke: step_0000010"),
        ("listening", "nobody has judged the samples"),
        ("decision", "not what the decision was made on"),
        ("kept", "version 1 of voicelathe: .*lora_weights"),
        ("alias", "moved by hand"),
    ],
)
def test_nothing_goes_while_something_is_not_known_or_not_whole(
    promoted_run: Path, case: str, message: str
) -> None:
    if case.endswith(".jsonl"):
        drop(promoted_run, case, "step_0000010@1")
    elif case == "not spoken":
        mute(promoted_run, "step_0000010@1")
    elif case == "listening":
        amend(promoted_run, listening=None)
    elif case == "decision":
        (promoted_run / layout.run(RECIPE, "probes.jsonl")).write_bytes(b"others")
    elif case == "kept":
        (directory(promoted_run) / SELECTED / "lora_weights.safetensors").write_bytes(b"?")
    else:
        promote.promote(RECIPE, promoted_run, "warmer", "step_0000020")
        stores.client(promoted_run).set_registered_model_alias(NAME, "production", "1")
    found = plan(promoted_run)
    assert len(found.refusals) == 1
    with pytest.raises(PromotionError, match=f"Nothing was removed:\n.*{message}"):
        retention.apply([RECIPE], promoted_run, found.digest)
    assert (directory(promoted_run) / "step_0000010").is_dir() and not (
        promoted_run / tombstones.FILE
    ).exists()


def test_a_reason_stands_for_listening_and_is_kept(promoted_run: Path) -> None:
    amend(promoted_run, listening=None)
    retention.apply([RECIPE], promoted_run, plan(promoted_run, "no ears here").digest, "no ears here")
    assert {one.because for one in tombstones.read(promoted_run)} == {"no ears here"}


def test_another_plan_than_the_confirmed_one_and_a_run_in_training_are_refused(promoted_run: Path) -> None:
    confirmed = plan(promoted_run).digest
    promote.promote(RECIPE, promoted_run, "warmer", "step_0000020")
    with pytest.raises(PromotionError, match=f"{confirmed} is not the plan as it is now"):
        retention.apply([RECIPE], promoted_run, confirmed)
    with locks.run_directory(directory(promoted_run)), pytest.raises(RunLocked, match="nothing was removed"):
        prune(promoted_run)
    assert len(plan(promoted_run).doomed) == 7 and not (promoted_run / tombstones.FILE).exists()


def test_a_kill_while_removing_leaves_what_the_next_plan_names(promoted_run: Path) -> None:
    child = os.fork()
    if child == 0:
        calls = iter(range(100))

        def remove(path: Path) -> None:
            if next(calls) == 2:
                path.rename(path.with_name(f"{checkpoints.TEMPORARY}old-{path.name}"))
                os._exit(9)
            shutil.rmtree(path)

        checkpoints.remove = remove
        prune(promoted_run)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert verify.verify(RECIPE, promoted_run).broken is None
    left = [Path(one.path).name for one in plan(promoted_run).doomed]
    assert ".tmp-old-step_0000030" in left and "step_0000050" in left and "step_0000010" not in left
    prune(promoted_run)
    assert plan(promoted_run).doomed == [] and verify.verify(RECIPE, promoted_run).broken is None
    assert len({one.path for one in tombstones.read(promoted_run)}) == len(tombstones.read(promoted_run))


def test_a_file_that_is_linked_from_elsewhere_frees_nothing(promoted_run: Path) -> None:
    here = directory(promoted_run)
    elsewhere = promoted_run / "data/bases/linked.bin"
    elsewhere.hardlink_to(here / "step_0000010/lora_weights.safetensors")
    (here / "state_0000060/parameters.safetensors").hardlink_to(
        here / "step_0000060/lora_weights.safetensors"
    )
    found = {Path(one.path).name: one.bytes for one in plan(promoted_run).doomed}
    size = elsewhere.stat().st_size
    whole = found["step_0000020"]
    assert found["step_0000010"] == whole - size
    assert found["step_0000060"] == whole and found["state_0000060"] == 1000, (
        "shared by two that go: counted once"
    )


def test_weights_made_again_are_checked_again(promoted_run: Path) -> None:
    prune(promoted_run)
    again = directory(promoted_run) / "step_0000050"
    shutil.copytree(directory(promoted_run) / SELECTED, again)
    assert "step_0000050/MANIFEST.json" in str(verify.verify(RECIPE, promoted_run).broken)


def test_a_promotion_of_pruned_weights_is_refused(promoted_run: Path) -> None:
    prune(promoted_run)
    with pytest.raises(PromotionError, match="step_0000050 is gone"):
        promote.promote(RECIPE, promoted_run, "warmer", "step_0000050")
    assert records.read(promoted_run / layout.run(RECIPE, "evaluations.jsonl"), records.EvaluationRecord)
