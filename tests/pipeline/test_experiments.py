"""DVC's experiments, branches and comparisons on a real project: nothing is lost, and which one is better can be read."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from tests.pipeline.conftest import command
from tests.pipeline.test_end_to_end import tree, would_run
from voicelathe import digest, layout, records
from voicelathe.config import params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
BETTER = "recipes.tiny.train.learning_rate=0.0007"


def git(root: Path, *words: str) -> str:
    who = ("-c", "user.name=anna", "-c", "user.email=anna@example.org")
    return command(root, "/usr/bin/env", "git", *who, *words).stdout


@pytest.fixture(scope="module")
def versioned(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished project in git."""
    root = tmp_path_factory.mktemp("versioned") / "project"
    shutil.copytree(project, root)
    git(root, "init", "-q", "-b", "main")
    command(root, "dvc", "config", "core.no_scm", "false")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "base")
    return root


@pytest.fixture(scope="module")
def tried(versioned: Path) -> Path:
    """After an experiment in one of DVC's temporary copies."""
    command(versioned, "dvc", "exp", "run", "--temp", "-q", "-n", "faster", "-S", BETTER, "select@tiny")
    return versioned


def test_an_experiment_in_a_temporary_copy_keeps_its_weights_in_the_project(
    tried: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(tried, tmp_path / "project", symlinks=True))
    before = json.loads((root / "runs/tiny/run.json").read_text())["directory"]
    command(root, "dvc", "exp", "apply", "faster")
    now = records.read_one(root / "runs/tiny/run.json", records.RunRecord)
    assert now.directory != before and (root / before).is_dir()
    assert len(list((root / now.directory).glob("step_*"))) == 6
    assert command(root, "voicelathe", "summary", check=False).returncode == 0
    assert command(root, "voicelathe", "verify", "tiny").returncode == 0
    assert not (root / "checkpoints").is_symlink()


def test_experiments_can_be_compared_by_their_numbers_and_curves(tried: Path) -> None:
    shown = command(tried, "dvc", "exp", "show", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert "!" not in shown
    column = next(name for name in rows[0] if name.endswith("validation_total"))
    totals = {row["Experiment"] or row["rev"]: row[column] for row in rows}
    assert (
        len({*totals.values()}) == 2 and "faster" in totals and all(float(one) > 0 for one in totals.values())
    )
    changed = json.loads(command(tried, "dvc", "metrics", "diff", "HEAD", "faster", "--json").stdout)
    assert "validation_total" in changed["runs/tiny/experiment.json"]
    plots = json.loads(
        command(tried, "dvc", "plots", "diff", "HEAD", "faster", "--json", "-o", "shown").stdout
    )
    assert {"training.csv", "checkpoints.csv"} <= {Path(name).name for name in plots["data"]}
    revisions = {
        point["rev"]
        for point in plots["data"]["runs/tiny/plots/training.csv"][0]["content"]["data"]["values"]
    }
    assert revisions == {"HEAD", "faster"}
    shutil.rmtree(tried / "shown", ignore_errors=True)


def test_another_branch_and_back_leaves_the_chain_whole(versioned: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(versioned, tmp_path / "project", symlinks=True))
    assert command(root, "voicelathe", "verify", "tiny").returncode == 0
    git(root, "switch", "-qc", "other")
    params.edit({"gate/min_rows": 9, "seed": 5}, root / "params.yaml")
    command(root, "dvc", "repro", "-q", "gate")
    git(root, "commit", "-qam", "other")
    changed = digest.of_file(root / "data/gate/report.json")
    git(root, "switch", "-q", "main")
    command(root, "dvc", "checkout", "-q")
    assert digest.of_file(root / "data/gate/report.json") != changed
    assert command(root, "voicelathe", "verify", "tiny").returncode == 0


def test_checkpoints_on_another_disk_are_used_where_they_lie(project: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(project, tmp_path / "project"))
    disk = tmp_path / "disk"
    (root / "checkpoints").rename(disk)
    (root / "checkpoints").symlink_to(disk)
    assert command(root, "voicelathe", "verify", "tiny").returncode == 0
    command(root, "dvc", "repro", "-q", "-f", "-s", "listen@tiny")
    heard = json.loads((root / "runs/tiny/metrics.json").read_text())["metrics"]
    assert {one["status"] for one in heard} == {"measured"}
    disk.rename(tmp_path / "unplugged")
    said = command(root, "dvc", "repro", "-f", "-s", "listen@tiny", check=False)
    assert (
        said.returncode != 0
        and f"{root / 'checkpoints'} is a link to {disk}, which is not there" in said.stderr
    )


@pytest.mark.campaign
def test_settings_that_are_taken_over_are_spoken_and_judged_by_the_next_repro_without_training(
    project: Path, tmp_path: Path
) -> None:
    """As after `decoding --set`, which writes into `speak` of the recipe; and back again, where DVC restores the records of before."""
    root = Path(shutil.copytree(project, tmp_path / "project"))
    trained = {name: sha for name, sha in tree(root, "checkpoints").items() if "/speech/" not in name}
    settings = (root / "params.yaml").read_bytes()
    judged = tree(root, "runs")
    params.edit({"recipes/tiny/speak/steps": 4}, root / "params.yaml")
    ran = command(root, "dvc", "repro").stdout
    assert "Running stage 'listen@tiny'" in ran and "Running stage 'select@tiny'" in ran
    now = tree(root, "checkpoints")
    assert {name: now[name] for name in trained} == trained, (
        "`train` runs, as it has an ear, and finds what was trained"
    )
    said = records.read(root / layout.run("tiny", "samples.jsonl"), records.SampleRecord)
    assert said and {one.decoding["steps"] for one in said} == {4.0}
    assert would_run(root) == set()
    (root / "params.yaml").write_bytes(settings)
    command(root, "dvc", "repro")
    assert would_run(root) == set()
    back = tree(root, "runs")
    mirrored = {name for name in judged if name.endswith("tracked.json")}
    assert {name: back[name] for name in judged if name not in mirrored} == {
        name: sha for name, sha in judged.items() if name not in mirrored
    }
    for one in records.read(root / layout.run("tiny", "samples.jsonl"), records.SampleRecord):
        assert one.path is None or digest.of_file(root / one.path) == one.sha256
