"""`voicelathe family new`: a family that imports, is in the table, and whose contract tests say what is missing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voicelathe.cli import app
from voicelathe.errors import FamilyUnavailable

HERE = Path(__file__).parents[2]
NAME = "my_tts"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the command touches, and all that its tests need."""
    for folder in ("src", "tests"):
        shutil.copytree(
            HERE / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    shutil.copy(HERE / "pyproject.toml", tmp_path)
    for folder in ("data", "lines", "recipes", "pipelines"):
        (tmp_path / folder).symlink_to(HERE / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for place in ("src", "tests")
        for path in (root / place).rglob("*.py")
    }


def ran(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    return subprocess.run(
        [sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_new_family_fails_its_contract_tests_and_nobody_else_s(checkout: Path) -> None:
    made = CliRunner().invoke(app, ["family", "new", NAME])
    assert made.exit_code == 0 and f"-k {NAME}" in made.output, made.output
    style = ran(checkout, "-m", "ruff", "check", f"src/voicelathe/families/{NAME}", f"tests/families/{NAME}")
    assert style.returncode == 0, style.stdout
    found = ran(checkout, "-c", f"from voicelathe import families; print(families.spec('{NAME}').id)")
    assert found.stdout.strip() == NAME, found.stderr
    tested = ran(
        checkout,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/families",
        "-k",
        f"{NAME} and not conversion",
        "--maxfail",
        "1000",
    )
    said = tested.stdout
    failed, errors = (len(re.findall(rf"^{word} ", said, re.MULTILINE)) for word in ("FAILED", "ERROR"))
    assert tested.returncode == 1 and failed > 25 and not errors, said[-2000:]
    assert f"tests/families/{NAME}/base is missing or not a directory" in said, "a small base comes first"
    beside = ran(
        checkout,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/families/test_contract.py",
        "-k",
        "voxcpm15 and losses",
    )
    assert beside.returncode == 0, beside.stdout[-2000:]


@pytest.mark.parametrize("name", ["My_TTS", "2tts", "my-tts", "class", "", "voxcpm"])
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(checkout: Path, name: str) -> None:
    before = files(checkout)
    made = CliRunner().invoke(app, ["family", "new", name])
    assert isinstance(made.exception, FamilyUnavailable) and (
        "is no name" in str(made.exception) or "is there already" in str(made.exception)
    )
    assert files(checkout) == before


def test_outside_of_a_checkout_it_says_where_it_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = CliRunner().invoke(app, ["family", "new", NAME])
    assert isinstance(made.exception, FamilyUnavailable) and "at the root of a checkout" in str(
        made.exception
    )
    assert not any(tmp_path.iterdir())
