"""The program as a whole: quick to start, one line for a user's mistake, and the right exit codes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from tests.cli.conftest import ROOT, Run
from voicelathe import cli
from voicelathe.config import params

HEAVY = (
    *(
        "torch",
        "numpy",
        "pandas",
        "pyarrow",
        "mlflow",
        "great_expectations",
        "pydantic",
        "rich",
        "ruamel",
        "dvc",
    ),
    *(
        "soundfile",
        "transformers",
        "peft",
        "bitsandbytes",
        "voxcpm",
        "matplotlib",
        "requests",
        "multiprocessing",
    ),
)
BROKEN = """
version: 4
seed: 1
machine: {device: tpu, threads: 0}
engine: {kind: serial, workers: 1, extra: 7}
tracking: {experiment: x, upload: some}
"""


def commands(app: typer.Typer = cli.app, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command with its groups, as it is typed."""
    for command in app.registered_commands:
        assert command.name is not None
        yield (*before, command.name)
    for group in app.registered_groups:
        assert group.name is not None and group.typer_instance is not None
        yield from commands(group.typer_instance, (*before, group.name))


@pytest.mark.parametrize("which", ["the program", "every command"])
def test_help_imports_nothing_heavy(which: str) -> None:
    """typer itself loads pydantic for the options of a command, not for the program's own help."""
    asked = [[]] if which == "the program" else [list(command) for command in commands()]
    heavy = set(HEAVY) - ({"pydantic"} if which == "every command" else set())
    code = f"""
import sys
from voicelathe import cli
for command in {asked!r}:
    sys.argv = ["voicelathe", *command, "--help"]
    try:
        cli.main()
    except SystemExit as left:
        assert not left.code, command
found = sorted({heavy!r} & {{name.split(".")[0] for name in sys.modules}})
sys.exit(f"imported: {{found}}" if found else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("start", [["voicelathe"], ["python", "-m", "voicelathe.cli"]], ids=" ".join)
def test_the_program_starts_from_the_shell(project: Path, start: list[str]) -> None:
    here = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{here}:{os.environ['PATH']}"}
    helped = subprocess.run([*start, "--help"], capture_output=True, text=True, env=environment, check=True)
    assert "Fine-tune an open text-to-speech model" in helped.stdout
    failed = subprocess.run(
        [*start, "import", "nowhere"], capture_output=True, text=True, env=environment, check=False
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "ManifestError: nowhere: there is no such file or folder.\n"
    misused = subprocess.run(
        [*start, "no-such-command"], capture_output=True, text=True, env=environment, check=False
    )
    assert misused.returncode == 2 and "No such command" in misused.stderr


NEEDING_PARAMS = [
    *(
        ["import", "x"],
        ["pin"],
        ["base", "add", "base"],
        ["base", "check"],
        ["summary"],
        ["ui"],
        ["verify"],
        ["status"],
    ),
    *(["retrain", "mini-lora"], ["track", "mini-lora"], ["promote", "mini-lora"], ["say", "Hello."]),
    *(["rollback", "--because", "it hums"], ["verdict", "import", "mini-lora", "x.json"]),
]


@pytest.mark.parametrize("command", NEEDING_PARAMS, ids=" ".join)
def test_a_broken_params_file_lists_all_its_problems_with_dotted_paths(
    project: Path, run: Run, command: list[str]
) -> None:
    from tests.factories import bases, corpora

    bases.write(project / "base")
    corpora.ours(project / "x")
    Path("params.yaml").write_text(BROKEN)
    done = run(*command)
    assert done.code == 1 and "Traceback" not in done.err
    assert done.err.startswith("ParamsError: params.yaml has ")
    for problem in (
        "machine.device = 'tpu'",
        "machine.threads = 0",
        "engine.extra = 7: unknown key",
        "tracking.upload = 'some'",
        "ingest = (missing)",
        "recipes = (missing)",
    ):
        assert problem in done.err, done.err


@pytest.mark.parametrize("command", NEEDING_PARAMS, ids=" ".join)
def test_outside_of_a_project_every_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, command: list[str]
) -> None:
    from tests.factories import bases, corpora

    bases.write(tmp_path / "base")
    corpora.ours(tmp_path / "x")
    monkeypatch.chdir(tmp_path)
    done = run(*command)
    assert done.code == 1
    assert done.err.startswith("ParamsError: params.yaml is missing. Run in the project's root")


@pytest.mark.parametrize(
    "command", [["retrain"], ["track"], ["promote"], ["verdict", "import"]], ids=" ".join
)
def test_an_unknown_recipe_is_answered_with_those_there_are(
    project: Path, run: Run, command: list[str]
) -> None:
    done = run(*command, "mini-lroa", *(["x.json"] if command[0] == "verdict" else []))
    assert done.code == 1 and "mini-lroa" in done.err
    if command != ["promote"]:
        assert (
            "recipes.mini-lroa: no such recipe in params.yaml. There are: mini-full, mini-lora." in done.err
        )


def test_params_are_still_those_that_ship() -> None:
    """The tests above copy params.yaml; a broken one would fail them all for the wrong reason."""
    assert {"mini-lora", "mini-full"} <= set(params.load(ROOT / "params.yaml").recipes)


def test_an_upgrade_is_written_although_nobody_reads_on(tmp_path: Path) -> None:
    """`voicelathe params upgrade --write | head -3` showed three lines and wrote nothing."""
    shipped = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(shipped.replace("zero_shot: reference", "zero_shot: true"))
    command = [sys.executable, "-m", "voicelathe.cli", "params", "upgrade", "--write"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        assert program.stdout is not None
        program.stdout.close()
    assert (tmp_path / "params.yaml").read_text() == shipped
