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


TOUCHED = ("src/voicelathe/families", "tests/families")


def copied(root: Path, *folders: str) -> Path:
    for folder in folders:
        shutil.copytree(
            HERE / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    return root


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the command touches."""
    monkeypatch.chdir(copied(tmp_path, *TOUCHED))
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_new_family_fails_its_contract_tests_and_nobody_else_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied(tmp_path, "src", "tests"))
    shutil.copy(HERE / "pyproject.toml", tmp_path)
    for folder in ("data", "lines", "recipes", "pipelines"):
        (tmp_path / folder).symlink_to(HERE / folder)

    def ran(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
        whole = [sys.executable, *command]
        return subprocess.run(
            whole, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    def tested(*chosen: str) -> subprocess.CompletedProcess[str]:
        return ran(
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--maxfail",
            "1000",
            "tests/families",
            "-k",
            *chosen,
        )

    made = CliRunner().invoke(app, ["family", "new", NAME])
    assert made.exit_code == 0 and f"-k {NAME}" in made.output, made.output
    style = ran("-m", "ruff", "check", f"src/voicelathe/families/{NAME}", f"tests/families/{NAME}")
    assert style.returncode == 0, style.stdout
    found = ran("-c", f"from voicelathe import families; print(families.spec('{NAME}').id)")
    assert found.stdout.strip() == NAME, found.stderr
    own = tested(f"{NAME} and not conversion")
    failed, errors = (len(re.findall(rf"^{word} ", own.stdout, re.MULTILINE)) for word in ("FAILED", "ERROR"))
    assert own.returncode == 1 and failed > 25 and not errors, own.stdout[-2000:]
    assert f"tests/families/{NAME}/base is missing or not a directory" in own.stdout, (
        "a small base comes first"
    )
    beside = tested("test_contract and voxcpm15 and losses")
    assert beside.returncode == 0, beside.stdout[-2000:]


@pytest.mark.parametrize("place", ["src/voicelathe/families/__init__.py", "tests/families/conftest.py"])
def test_a_file_without_the_place_for_it_is_named_and_nothing_is_written(checkout: Path, place: str) -> None:
    text = (checkout / place).read_text()
    (checkout / place).write_text(
        text.replace("TABLE = {", "OTHER = {").replace("    made = {", "    given = {")
    )
    before = files(checkout)
    made = CliRunner().invoke(app, ["family", "new", NAME])
    assert isinstance(made.exception, FamilyUnavailable) and f"{place} has no line that begins with" in str(
        made.exception
    )
    assert files(checkout) == before


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
