"""Commands on memory: what a recipe will need, and what ran out of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voicelathe.cli import screen
from voicelathe.errors import ParamsError, RecordError

if TYPE_CHECKING:
    from voicelathe.config import schema

LogFile = Annotated[
    Path, typer.Argument(metavar="LOGFILE", help="What a training printed: stderr, a launcher's log, dmesg.")
]
Recipes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RECIPE...]", help="Names in params.yaml or files of recipes/; all of params.yaml without."
    ),
]
CardText = Annotated[
    str,
    typer.Option(
        "--card", metavar="CARD", help="A size (24GiB, 16GB) or a name (rtx3090ti, rtx4090, a10, h100, h200)."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the plans as JSON.")]
Picture = Annotated[
    Path | None, typer.Option("--picture", metavar="FILE", help="Also draw stacked bars into this SVG file.")
]
ClipSeconds = Annotated[
    float | None,
    typer.Option(
        "--clip-s",
        metavar="SECONDS",
        help="Plan for clips of this length instead of the prepared data's largest pass.",
    ),
]
MAX_LOG_BYTES = 200_000_000  # read from the end: what killed a run is there


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("plan")(plan)
    app.command("triage")(triage)


def plan(
    recipes: Recipes = None,
    card: CardText = "24GiB",
    as_json: AsJson = False,
    picture: Picture = None,
    clip_s: ClipSeconds = None,
) -> None:
    """Compute what recipes need on a card, on the disk and in time, and whether they fit; no GPU, no weights."""
    from voicelathe import digest, records
    from voicelathe.plan import cards, forecast, text
    from voicelathe.plan import picture as pictures

    found, speed_of = cards.parse(card)
    params, names = _chosen(recipes or [])
    plans = []
    for name in names:
        print(f"{name}: rehearsing without memory ...", file=sys.stderr, flush=True)
        plans.append(forecast.plan(params, name, found, speed_of, clip_s, report=_tell))
    if picture is not None:
        digest.deliver(picture, pictures.draw(plans).encode())
    if as_json:
        screen.say(json.dumps([{**records.to_json(one), "total": one.total} for one in plans], indent=1))
        return
    screen.table(f"On {found.name}, computed:", ["GB", *(one.recipe for one in plans)], text.rows(plans))
    for line in text.notes(plans):
        screen.say(line)


def triage(log: LogFile) -> None:
    """Say which memory ran out in a training's log, what the log shows of it, what can help and what cannot."""
    from voicelathe.process.triage import logs

    screen.say(logs.read(_end_of(log)).text())


def _chosen(asked: list[str]) -> tuple[schema.Params, list[str]]:
    """Settings and the recipes to plan; recipe files are merged into params.yaml in memory, as if pasted."""
    from voicelathe.config import params

    files = [Path(one) for one in asked if one.endswith((".yaml", ".yml"))]
    if not files:
        loaded = params.load()
        return loaded, [one for one in asked if params.recipe(loaded, one)] or list(loaded.recipes)
    tree = params.read_yaml(params.FILE)
    names = [one for one in asked if not one.endswith((".yaml", ".yml"))]
    for file in files:
        names += _paste(tree, params.read_yaml(file), file)
    tree["machine"]["device"] = "cuda"  # a plan is for a card
    checked = params.check(tree, "params.yaml with " + ", ".join(map(str, files)))
    return checked, [one for one in names if params.recipe(checked, one)]


def _paste(tree: Any, fragment: Any, file: Path) -> list[str]:
    """Merge a recipe file; the project's own bases win. Raises ParamsError when it is no recipe file."""
    if not isinstance(fragment, dict) or not isinstance(fragment.get("recipes"), dict):
        raise ParamsError(f"{file}: no `recipes:` in it. Give a file such as recipes/voxcpm2-lora.yaml.")
    for name, base in (fragment.get("bases") or {}).items():
        tree["bases"].setdefault(name, base)
    tree["recipes"].update(fragment["recipes"])
    return list(fragment["recipes"])


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _end_of(path: Path) -> str:
    """The last part of a file as text. Raises RecordError when it cannot be read."""
    try:
        with path.open("rb") as file:
            begin = file.read(512)
            encoding = "utf-8"
            if begin[:2] in (b"\xff\xfe", b"\xfe\xff"):  # what PowerShell's > writes
                encoding = "utf-16-le" if begin[:2] == b"\xff\xfe" else "utf-16-be"
            file.seek(max(0, path.stat().st_size - MAX_LOG_BYTES) // 2 * 2)
            return file.read().decode(encoding, errors="replace").removeprefix("\ufeff")
    except OSError as problem:
        raise RecordError(
            f"{path} cannot be read ({problem.strerror}). Give the file a training's output was written to."
        ) from None
