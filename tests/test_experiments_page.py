"""Every command of docs/experiments.md, typed in its order in a project of two people; and the weights of queued experiments."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sequences import project
from tests.sequences.model import missing, run_of
from tests.sequences.shell import Shell, Told
from voicelathe.config import params

PAGE = Path(__file__).parents[1] / "docs/experiments.md"
PROGRAMS = ("dvc", "git", "voicelathe", "CUDA_VISIBLE_DEVICES=")
NOT_RUN = {  # in a sentence of the page, and not among the commands that are typed
    "dvc exp run --run-all": "the queue is worked off by `dvc queue start`; this one has a test of its own",
    "dvc queue start -j 2": "for two cards",
    "dvc queue logs longer": "typed once the queue is empty",
    "voicelathe ui": "serves pages until Ctrl-C; test_ui.py opens them",
    "voicelathe restore URL": "typed with an address in it",
    "voicelathe retrain RECIPE": "typed with a recipe in it",
    "git reflog": "the name of git's log",
}


def blocks() -> list[str]:
    """Commands in the indented blocks, in their order."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.startswith("    ")]


def test_every_line_of_a_block_is_a_command_and_what_is_not_typed_has_a_short_reason() -> None:
    typed = blocks()
    assert len(typed) > 40 and all(line.startswith(PROGRAMS) for line in typed)
    spoken = {
        one
        for one in re.findall(r"`([^`\n]+)`", PAGE.read_text(encoding="utf-8"))
        if re.match(r"(dvc|git|voicelathe) \w", one)
    }
    assert {one for one in spoken if not any(one in line for line in typed)} == set(NOT_RUN)
    assert all(len(reason) < 80 for reason in NOT_RUN.values())


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return project.make(tmp_path_factory.mktemp("week") / "start")


@pytest.fixture
def shell(start: tuple[Path, Path], tmp_path: Path) -> Iterator[Shell]:
    root, template = start
    copy = Path(shutil.copytree(root, tmp_path / "voice", symlinks=True))
    yield Shell(copy, project.environment(copy, template))


def copied(shell: Shell) -> None:
    """The third recipe, and a place that DVC pushes to and git, too."""
    text = (shell.root / "params.yaml").read_text()
    one = re.search(r"^  mini-lora:\n(?:    .*\n| *\n)+", text, re.MULTILINE)
    assert one is not None
    (shell.root / "params.yaml").write_text(
        text.replace(one[0], one[0] + one[0].replace("mini-lora:", "mini-slow:", 1))
    )
    params.edit({"recipes/mini-slow/train/learning_rate": 0.0002}, shell.root / "params.yaml")
    shell.must(
        "dvc remote add -q -d store ../store && git init -q --bare -b main ../shared.git && git remote add origin ../shared.git"
    )
    shell.must("git config push.autoSetupRemote true")


def emptied(shell: Shell) -> None:
    """The queue has run."""
    end = time.monotonic() + 900
    while re.search("Queued|Running", told := shell.must("dvc queue status").text):
        assert time.monotonic() < end, told
        time.sleep(5)
    assert "Failed" not in told and shell.must("dvc queue logs longer").text


def edited(shell: Shell) -> None:
    params.edit({"recipes/mini-lora/train/learning_rate": 0.004}, shell.root / "params.yaml")


def moved(shell: Shell) -> None:
    """The second person sits in the clone, with an MLflow of her own."""
    shell.root = shell.root.parent / "second/voice"


BEFORE: dict[str, Callable[[Shell], None]] = {"dvc repro": copied, "voicelathe retrain mini-lora": edited}
AFTER: dict[str, Callable[[Shell], None]] = {"dvc queue status": emptied}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_of_the_page_works_in_its_order(shell: Shell) -> None:
    waiting = dict(BEFORE)
    for line in blocks():
        if line in waiting:
            waiting.pop(line)(shell)
        told = typed(shell, line)
        assert told.code == 0, f"{line}\n{told.text}\n" + "\n".join(shell.log)
        if line in AFTER:
            AFTER[line](shell)
        if line.startswith("git clone"):
            moved(shell)
    assert not waiting and not missing(shell.root, "mini-lora")


def typed(shell: Shell, line: str) -> Told:
    """With addresses of this machine in the place of those on the page."""
    here = shell.root.parent
    line = line.replace(
        "s3://bucket/weights", f"file://{here if here.name != 'second' else here.parent}/bucket"
    )
    if line.startswith("git clone"):
        (here / "second").mkdir()
        told = shell.must(f"git clone -q ../shared.git {here / 'second/voice'}")
        shutil.copytree(here / "store", here / "second/store")
        return told
    return shell.type(line)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_weights_of_queued_experiments_lie_in_the_project(shell: Shell) -> None:
    before = set((shell.root / "checkpoints").glob("*/*"))
    shell.must("dvc exp run -q --queue -n one -S recipes.mini-lora.train.steps=30 select@mini-lora")
    shell.must(
        "dvc exp run -q --queue -n two -S recipes.mini-full.train.learning_rate=0.003 select@mini-full"
    )
    shell.must("dvc exp run -q --run-all")
    new = set((shell.root / "checkpoints").glob("*/*")) - before
    assert {path.parent.name: len(list(path.glob("step_*"))) for path in new} == {
        "mini-lora": 3,
        "mini-full": 4,
    }
    for name, recipe in (("one", "mini-lora"), ("two", "mini-full")):
        shell.must("git stash -q; git stash drop -q; true")
        shell.must(f"dvc exp apply -q {name}")
        assert shell.root / run_of(shell.root, recipe) in new and not missing(shell.root, recipe)
