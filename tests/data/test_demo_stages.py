"""The five data stages on the demo corpus: planted faults are found, clean rows are kept, bytes do not depend on the engine.

The ground truth is read here and nowhere in src.
"""

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pipelines import audit, gate, hear, ingest, measure, split
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.data import tables
from voicelathe.records import CleanClip, Finding, ManifestRow

pytestmark = pytest.mark.slow  # the whole demo corpus, twice; CI runs it
REPOSITORY = Path(__file__).parents[2]
STAGES = (ingest, measure, hear, audit, split, gate)
# Kinds of which every row has to be found by one of these rules, and by nothing but them may a clean row be dropped: none.
EXPECTED = {
    "empty_text": {"empty_text"},
    "boilerplate": {"boilerplate"},
    "sub_100_ms": {"too_short"},
    "clipped": {"clipped"},
    "exact_copy": {"exact_duplicate"},
    "overlap": {"overlap"},
    "too_short_for_text": {"too_fast", "odd_pace"},
    "too_long_for_text": {"too_slow", "odd_pace"},
    "wrong_sample_rate": {"declared_rate", "band_limited", "wrong_speed", "too_fast", "too_slow", "odd_pace"},
    "non_speech": {"no_speech", "silent", "steady"},
    "long_silence": {"edge_silence"},
    "stereo": {"channels"},
    "non_finite": {"nonfinite"},
    "zero_length": {"no_samples"},
    "missing_file": {"missing"},
    "truncated_file": {"truncated"},
    "path_traversal": {"outside_root"},
}
EXACT = ["empty_text", "boilerplate", "sub_100_ms"]
NOT_FOUND_YET = {"wrong_text", "wrong_speaker"}  # need a recogniser and a speaker model
# Opus encodes other bits on another kind of processor, so of the page that plays clips everything but the sound is compared.
REPORT, REPORT_WITHOUT_SOUND = (
    "data/audit/report.html",
    "0a4389bb5eb27cdb735f507b23e40b565b4221a4ac1fd780c2a980ec3a42b509",
)


def project(root: Path, engine: str) -> Path:
    """Everything that the stages read, and nothing more."""
    for name in ("data/demo", "data/phrases", "consent", "lines", "splits"):
        shutil.copytree(
            REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("ground_truth*", "*.py")
        )
    shutil.copy(REPOSITORY / "params.yaml", root)
    params.edit({"engine/kind": engine}, root / "params.yaml")
    return root


def run(root: Path, stages: tuple[ModuleType, ...] = STAGES) -> None:
    before = Path.cwd()
    os.chdir(root)
    try:
        for stage in stages:
            stage.main()
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = project(tmp_path_factory.mktemp("serial"), "serial")
    run(root)
    yield root


@pytest.fixture(scope="module")
def kinds(done: Path) -> dict[str, str]:
    """Planted kind of each clip."""
    lines = (REPOSITORY / "data/demo/ground_truth.jsonl").read_text(encoding="utf-8").splitlines()
    truth = {one["id"]: one["kind"] for one in map(json.loads, lines)}
    return {row.clip_id: truth[row.user_id] for row in records.read(done / layout.MANIFEST, ManifestRow)}  # type: ignore[index]


@pytest.fixture(scope="module")
def findings(done: Path) -> list[Finding]:
    return tables.read(done / "data/audit/findings.parquet", Finding)


def test_no_clean_row_is_dropped_or_doubted(
    kinds: dict[str, str], findings: list[Finding], done: Path
) -> None:
    assert [one for one in findings if kinds[one.clip_id] == "clean"] == []
    kept = Counter(kinds[clip.clip_id] for clip in records.read(done / "data/audit/clean.jsonl", CleanClip))
    assert kept["clean"] == 338


@pytest.mark.parametrize("kind", EXACT)
def test_the_rules_of_the_mission_have_precision_and_recall_of_one(
    kinds: dict[str, str], findings: list[Finding], kind: str
) -> None:
    (rule,) = EXPECTED[kind]
    assert {one.clip_id for one in findings if one.rule == rule} == {
        clip_id for clip_id, one in kinds.items() if one == kind
    }


@pytest.mark.parametrize("kind", sorted(set(EXPECTED) - set(EXACT)))
def test_every_planted_fault_is_found(kinds: dict[str, str], findings: list[Finding], kind: str) -> None:
    found = {one.clip_id for one in findings if one.rule in EXPECTED[kind]}
    assert {clip_id for clip_id, one in kinds.items() if one == kind} <= found


def test_every_kind_of_fault_is_either_found_or_known_to_be_missed(kinds: dict[str, str]) -> None:
    assert set(kinds.values()) == {"clean"} | set(EXPECTED) | NOT_FOUND_YET


def test_long_edge_silence_is_trimmed_and_what_is_left_is_an_ordinary_clip(
    kinds: dict[str, str], findings: list[Finding], done: Path
) -> None:
    rows = {row.clip_id: row for row in records.read(done / layout.MANIFEST, ManifestRow)}
    kept = {clip.clip_id: clip for clip in records.read(done / "data/audit/clean.jsonl", CleanClip)}
    planted = [clip_id for clip_id, kind in kinds.items() if kind == "long_silence"]
    for clip_id in planted:
        (trim,) = (one for one in findings if one.clip_id == clip_id and one.action == "trim")
        clip, row = kept[clip_id], rows[clip_id]
        assert (row.start_s, row.end_s) == (None, None) and 1.9 < clip.duration_s < 4.3
        assert trim.value.endswith(f"became {clip.start_s:g} to {clip.end_s:g} s")
    assert len(planted) == 4


def test_lines_add_up(done: Path) -> None:
    summary = digest.read_json(done / layout.SUMMARY)
    lines = (REPOSITORY / "data/demo/manifest.jsonl").read_bytes().count(b"\n")
    quarantined = len(records.read(done / "data/audit/quarantine.jsonl", records.Quarantined))
    assert summary["rows"] == lines == summary["kept"] + quarantined


def test_the_splits_hold_every_clean_clip_and_share_no_recording(done: Path) -> None:
    clips = {name: records.read(done / layout.split(name), CleanClip) for name in layout.SPLITS}
    recordings = [{clip.recording_id for clip in members} for members in clips.values()]
    assert sum(map(len, clips.values())) == digest.read_json(done / layout.SUMMARY)["kept"]
    assert sum(map(len, recordings)) == len(set.union(*recordings)) == 36
    assert [len(some) for some in recordings] == [28, 4, 4]


def test_the_gate_is_open_for_the_splits_and_closed_for_the_raw_manifest(done: Path) -> None:
    passed, report = (
        records.read_one(done / layout.GATE, records.Passed),
        digest.read_json(done / "data/gate/report.json"),
    )
    assert passed.splits == {name: digest.of_file(done / layout.split(name)) for name in layout.SPLITS}
    assert all(check["passed"] for check in report["splits"]["checks"])
    raw = {check["name"]: check["num_unexpected"] for check in report["raw_manifest_split_by_rows"]["checks"]}
    assert (raw["no_empty_text"], raw["no_boilerplate"], raw["duration"]) == (184, 3, 15)
    assert raw["one_split_per_recording"] > 500


def test_every_output_is_the_same_bytes_with_one_process_or_two(done: Path, tmp_path: Path) -> None:
    other = project(tmp_path / "processes", "processes")
    shutil.copytree(
        done / ".cache/voicelathe/heard", other / ".cache/voicelathe/heard"
    )  # a worker listens in one way
    run(other, STAGES[:5])  # the gate starts no processes
    written = [path for stage in STAGES[:5] for path in stage.WRITES]
    assert len(written) == 16
    assert {path: digest.of_file(other / path) for path in written} == {
        path: digest.of_file(done / path) for path in written
    }


def locked() -> dict[str, dict[str, str]]:
    """md5 of every file that dvc.lock records for the data stages, and of the stage's own script."""
    stages = params.read_yaml(REPOSITORY / "dvc.lock")["stages"]
    return {
        stage.__name__.removeprefix("pipelines."): {
            entry["path"]: entry["md5"]
            for kind in ("deps", "outs")
            for entry in stages[stage.__name__.removeprefix("pipelines.")].get(kind, [])
        }
        for stage in STAGES
    }


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_a_stage_whose_bytes_change_gets_a_new_revision(done: Path, stage: ModuleType) -> None:
    """dvc.lock is the golden record: without a new REVISION, DVC would go on using what older code wrote."""
    golden = locked()[stage.__name__.removeprefix("pipelines.")]
    script = stage.READS[0]
    assert golden[script] == md5(REPOSITORY / script), (
        f"dvc.lock knows another {script}: run `make repro` and commit dvc.lock"
    )
    changed = [path for path in stage.WRITES if path != REPORT and md5(done / path) != golden[path]]
    assert not changed, f"{', '.join(changed)}: other bytes than in dvc.lock; give {script} a new REVISION"


def test_a_report_that_changes_gives_the_audit_a_new_revision(done: Path) -> None:
    silent = re.sub(rb'src="data:audio/ogg;base64,[^"]+"', b"", (done / REPORT).read_bytes())
    assert hashlib.sha256(silent).hexdigest() == REPORT_WITHOUT_SOUND, (
        "another report than before: give pipelines/audit.py a new REVISION and this test the new digest"
    )


def md5(path: Path) -> str:
    """What DVC writes into dvc.lock; nothing of ours is secured by it."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
