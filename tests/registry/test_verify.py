"""The chain from production back to the raw audio: one changed bit anywhere is found and named with both hashes."""

import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from voicelathe import digest, layout, records
from voicelathe.errors import VoiceLatheError
from voicelathe.registry import chain, promote, verify
from voicelathe.registry.history import journal

RECIPE, PRODUCTION = "mini-lora", "models:/voicelathe@production"


@pytest.fixture
def files(tmp_path: Path, finished_project: Path) -> Path:
    """A finished run without any store: a recipe's chain is walked without MLflow."""
    return Path(shutil.copytree(finished_project, tmp_path / "project"))


def flip(path: Path, bit: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    at = (len(data) * 8 // 2) if bit is None else bit % (len(data) * 8)
    data[at // 8] ^= 1 << (at % 8)
    path.write_bytes(bytes(data))


def test_an_untouched_chain_holds_to_the_last_link(files: Path) -> None:
    walk = verify.verify(RECIPE, files)
    assert walk.broken is None and walk.num_links > 50


def test_the_demo_chain_is_walked_in_two_seconds(files: Path) -> None:
    began = time.process_time()
    verify.verify(RECIPE, files)
    assert time.process_time() - began < 2.0


def run_directory(root: Path) -> Path:
    return Path(records.read_one(root / layout.run(RECIPE, "run.json"), records.RunRecord).directory)


RECORDS = (
    "run.json",
    "steps.jsonl",
    "samples.jsonl",
    "checkpoints.json",
    "evaluations.jsonl",
    "selection.json",
)
LINKS: dict[str, Callable[[Path], Path]] = {
    "weights": lambda root: run_directory(root) / "step_0000030/lora_weights.safetensors",
    "manifest of a checkpoint": lambda root: run_directory(root) / "step_0000030/MANIFEST.json",
    "sample": lambda root: run_directory(root) / "speech/step_0000030@1/short-42.wav",
    "evaluations": lambda root: layout.run(RECIPE, "evaluations.jsonl"),
    "losses per clip": lambda root: layout.run(RECIPE, "clip_losses.parquet"),
    "base": lambda root: Path("data/bases") / runs.BASE / "model.safetensors",
    "record of the base": lambda root: layout.latents(runs.BASE) / "base.json",
    "index of the encodings": lambda root: layout.latents(runs.BASE) / "index.parquet",
    "training split": lambda root: layout.split("train"),
    "test split": lambda root: layout.split("test"),
    "rows of the manifest": lambda root: layout.MANIFEST,
    "raw manifest": lambda root: Path("data/demo/manifest.jsonl"),
    "list of the audio": lambda root: Path("data/raw/audio.sha256"),
    "audio": lambda root: Path("data/demo/audio/1.opus"),
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_flipped_bit_is_found_and_named(files: Path, kind: str) -> None:
    path = LINKS[kind](files)
    flip(files / path)
    walk = broken(files)
    assert path.name in str(walk) or path.parent.name in str(walk)


def broken(root: Path, what: str = RECIPE) -> str:
    """What `verify` or the reader of a damaged record says."""
    try:
        walk = verify.verify(what, root)
    except VoiceLatheError as problem:
        return str(problem)
    assert walk.broken is not None, "nothing was noticed"
    return str(walk.broken)


def test_a_broken_link_names_the_file_its_user_and_both_hashes(files: Path) -> None:
    path = files / layout.run(RECIPE, "clip_losses.parquet")
    expected = digest.of_file(path)
    flip(path)
    assert str(verify.verify(RECIPE, files).broken) == (
        f"runs/{RECIPE}/clip_losses.parquet: runs/{RECIPE}/selection.json used {expected}, but it is {digest.of_file(path)} now"
    )


def test_a_file_that_is_gone_and_one_too_many_are_found(files: Path) -> None:
    extra = files / run_directory(files) / "step_0000010/more.safetensors"
    extra.write_bytes(b"x")
    assert "more.safetensors" in broken(files)
    extra.unlink()
    (files / "dvc.lock").rename(files / "kept")
    assert "dvc.lock: git used" in broken(files) and "gone" in broken(files)
    (files / "kept").rename(files / "dvc.lock")
    (files / "data/demo/audio/2.opus").unlink()
    assert "2.opus" in broken(files) and "gone" in broken(files)


def test_a_run_whose_settings_were_edited_is_found(files: Path) -> None:
    path = files / layout.run(RECIPE, "run.json")
    run = digest.read_json(path)
    digest.write_json(path, {**run, "identity": {**run["identity"], "seed": 8}})
    runs.select(files, RECIPE, "ship", "step_0000040@1")  # as if the decision had been made again
    assert "run.json (identity)" in broken(files)


def test_files_that_only_dvc_knows_are_compared_by_its_md5(files: Path) -> None:
    import hashlib

    (files / "data/audit").mkdir(exist_ok=True)
    clean = files / "data/audit/clean.jsonl"
    clean.write_text("{}\n")
    shards = files / "data/latents/voxcpm2-mini/shards"
    shards.mkdir()
    (shards / "00000.safetensors").write_bytes(b"encodings")
    md5 = hashlib.md5(b"encodings").hexdigest()
    listing = json.dumps([{"md5": md5, "relpath": "00000.safetensors"}]).encode()
    outs = [
        {"path": "data/audit/clean.jsonl", "hash": "md5", "md5": hashlib.md5(b"{}\n").hexdigest(), "size": 3},
        {"path": "data/latents/voxcpm2-mini/shards", "md5": hashlib.md5(listing).hexdigest() + ".dir"},
    ]
    (files / "dvc.lock").write_text(
        json.dumps({"schema": "2.0", "stages": {"audit": {"cmd": "x", "outs": outs}}})
    )
    assert verify.verify(RECIPE, files).broken is None
    flip(shards / "00000.safetensors")
    assert "shards: dvc.lock (audit) used" in broken(files)
    clean.write_text("{ }")
    assert "clean.jsonl: dvc.lock (audit) used" in broken(files)


@pytest.mark.parametrize(
    ("stage", "counts"),
    [
        ("gate", True),
        ("encode@voxcpm2-mini", True),
        (f"train@{RECIPE}", True),
        ("encode@another-base", False),
        ("preflight@mini-full", False),
    ],
)
def test_a_stage_of_another_recipe_or_base_that_is_behind_breaks_no_chain(
    files: Path, stage: str, counts: bool
) -> None:
    """New data, and the other recipe's preflight said no: its lines in dvc.lock are of the data before."""
    old = [{"path": "data/split/train.jsonl", "md5": "0" * 32}]
    (files / "dvc.lock").write_text(json.dumps({"stages": {stage: {"cmd": "x", "deps": old}}}))
    assert (verify.verify(RECIPE, files).broken is not None) is counts


@pytest.mark.slow
def test_dvc_itself_writes_the_md5_that_verify_computes(tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "data/many/deep").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "deep/c.txt"):
        (tmp_path / "data/many" / name).write_text(name)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  one:\n    cmd: echo x > data/out.txt\n    deps: [data/many]\n    outs: [data/out.txt]\n"
    )
    for command in (["init", "--no-scm", "-q"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True, timeout=120)
    links = list(chain._stages(tmp_path, {""}))
    assert {link.path for link in links} == {"data/many", "data/out.txt"} and all(
        link.holds for link in links
    )


def test_production_is_verified_from_the_alias_down(project: Path) -> None:
    promote.promote(RECIPE, project)
    walk = verify.verify(PRODUCTION, project)
    assert walk.broken is None and walk.num_links > verify.verify(RECIPE, project).num_links


def test_an_alias_a_tag_or_a_record_changed_behind_the_journal_is_found(project: Path) -> None:
    promote.promote(RECIPE, project)
    client = stores.client(project)
    client.set_model_version_tag("voicelathe", "1", "voicelathe.checkpoint_sha256", "0" * 64)
    assert f"voicelathe.checkpoint_sha256 is {'0' * 64}, the journal says" in str(
        verify.verify(PRODUCTION, project).broken
    )
    client.delete_model_version_tag("voicelathe", "1", "voicelathe.checkpoint_sha256")
    assert "checkpoint_sha256 is None" in str(verify.verify(PRODUCTION, project).broken)


def test_a_decision_made_again_after_promotion_is_not_the_one_that_was_promoted(project: Path) -> None:
    promote.promote(RECIPE, project)
    runs.select(project, RECIPE, "ship", "step_0000030@1")
    assert "selection.json: registry/journal.jsonl (version 1) used" in str(
        verify.verify(PRODUCTION, project).broken
    )


def test_consent_that_ended_after_promotion_breaks_the_chain(project: Path) -> None:
    promote.promote(RECIPE, project)
    record = digest.read_json(project / "consent/awb.json")
    digest.write_json(project / "consent/awb.json", {**record, "valid_until": "2026-02-01"})
    assert "valid_until was 2026-02-01" in str(verify.verify(PRODUCTION, project).broken)
    digest.write_json(project / "consent/awb.json", {**record, "contact_ref": "http://elsewhere.example.org"})
    assert verify.verify(PRODUCTION, project).broken is None, "a record may be amended"


def test_an_edited_journal_is_found(project: Path) -> None:
    promote.promote(RECIPE, project)
    flip(project / journal.FILE)
    with pytest.raises(VoiceLatheError, match="journal"):
        verify.verify(PRODUCTION, project)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_random_bits_are_all_found_and_named(promoted: Path) -> None:
    """One at a time, anywhere in any file that the chain of production covers, the journal and the speech included."""
    directory = promoted / run_directory(promoted)
    covered = {promoted / LINKS[kind](promoted) for kind in LINKS}
    covered |= {
        path for path in directory.rglob("*") if path.is_file() and path.suffix in (".wav", ".safetensors")
    }
    covered |= {promoted / layout.run(RECIPE, name) for name in RECORDS}
    covered |= {path for path in (promoted / "data/bases" / runs.BASE).iterdir()}
    covered |= {
        promoted / journal.FILE,
        promoted / layout.GATE,
        promoted / layout.latents(runs.BASE) / "base.json",
    }
    choose, files = random.Random(7), sorted(covered)
    for number in range(1000):
        path = files[number % len(files)]
        kept = path.read_bytes()
        flip(path, choose.randrange(len(kept) * 8))
        try:
            said = broken(promoted, PRODUCTION)
        finally:
            path.write_bytes(kept)
        assert path.name in said or path.parent.name in said, (path, said)
    assert verify.verify(PRODUCTION, promoted).broken is None
