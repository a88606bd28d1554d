"""`voicelathe family new`: a model family that has everything but its code, and contract tests that say what is missing."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen
from voicelathe.errors import FamilyUnavailable

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="As a Python module: small letters, digits, underscores.")
]
FAMILIES, TESTS = Path("src/voicelathe/families"), Path("tests/families")
TEMPLATES = Path(__file__).parents[2] / "families/shared/skeleton"
SOURCES = ("spec", "model", "synthesis", "codec")


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    group = typer.Typer(help="Families of models, in a checkout of voicelathe.", no_args_is_help=True)
    group.command("new")(new)
    app.add_typer(group, name="family")


def new(name: Name) -> None:
    """Write the folder of a new family, its tests and its line in the table. The contract tests fail until it is done."""
    table, labs, lab = FAMILIES / "__init__.py", TESTS / "labs.py", TESTS / "conftest.py"
    _require(name, table, labs, lab)
    longer = {  # all of them before anything is written: the table last
        labs: _with(labs, "", _filled("lab", name)),
        lab: _with(lab, "    made = {", f'        "{name}": labs.{name},\n'),
        table: _with(table, "TABLE = {", f'    "{name}": "voicelathe.families.{name}.spec",\n'),
    }
    fresh = {FAMILIES / name / f"{part}.py": _filled(part, name) for part in SOURCES}
    fresh |= {
        FAMILIES / name / "__init__.py": f'"""The family {name}."""\n',
        TESTS / name / "__init__.py": "",
    }
    fresh[TESTS / name / f"test_{name}.py"] = _filled("test", name)
    for path, text in {**fresh, **longer}.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        screen.say(f"{path}: {'new' if path in fresh else 'with its entry'}")
    screen.say(f"What is missing, one test after the other: python -m pytest -x {TESTS} -k {name}")
    screen.say('The rest of the way: CONTRIBUTING.md, "A model family"')


def _require(name: str, *files: Path) -> None:
    """Raises FamilyUnavailable for what is no checkout, no name, or there already."""
    if missing := [str(file) for file in files if not file.is_file()]:
        raise FamilyUnavailable(
            f"{missing[0]} is missing here: a family becomes part of the program. Run this at the root of a checkout of it."
        )
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise FamilyUnavailable(
            f"{name!r} is no name of a module. Take small letters, digits and underscores, such as my_tts."
        )
    if there := [str(place) for place in (FAMILIES / name, TESTS / name) if place.exists()]:
        raise FamilyUnavailable(
            f"{there[0]} is there already. Take another name, or remove it and its lines in {files[0]}, {files[1]} and {files[2]}."
        )


def _filled(part: str, name: str) -> str:
    """A template with its names in it, and our own imports in order, which depends on the name."""
    class_ = "".join(word.capitalize() for word in name.split("_"))
    text = (TEMPLATES / f"{part}.py.txt").read_text(encoding="utf-8")
    lines = text.replace("NAME", name).replace("CLASS", class_).splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if line.startswith("from voicelathe.")]
    for place, line in zip(places, sorted(lines[place] for place in places), strict=True):
        lines[place] = line
    return "".join(lines)


def _with(path: Path, behind: str, text: str) -> str:
    """A file with a text behind the first line that begins so; nothing: at the end. Raises FamilyUnavailable where no line does."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    places = [place for place, line in enumerate(lines, 1) if line.startswith(behind)]
    if not places:
        raise FamilyUnavailable(
            f"{path} has no line that begins with {behind.strip()!r}, behind which families are listed, so nothing was written. Bring it back: "
            f"git checkout -- {path}; or change voicelathe family new with it."
        )
    place = places[0 if behind else -1]
    return "".join([*lines[:place], text, *lines[place:]])
