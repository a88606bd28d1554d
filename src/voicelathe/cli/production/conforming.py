"""`voicelathe conform URL`: is what a server says still what was judged?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen

DIFFERS = 3  # exit code, as of `verify`
KEY = "OPENAI_API_KEY"
Url = Annotated[
    str, typer.Argument(metavar="URL", help="Of a server in OpenAI's form, such as http://127.0.0.1:8300/v1")
]
OfRecipe = Annotated[
    str | None,
    typer.Option("--recipe", metavar="RECIPE", help="Whose lines; default: the recipe in production."),
]
Candidate = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Whose samples; default: what is in production, else the selected one."
    ),
]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="Default: the first that the server lists.")]
Voice = Annotated[str, typer.Option(metavar="NAME", help="The server's name of the voice.")]
Fields = Annotated[
    list[str] | None, typer.Option("--field", metavar="NAME=VALUE", help="Also in every request; repeat it.")
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="DIR", help="Keep what was said as WAV files.")
]
Words = Annotated[
    float, typer.Option(metavar="X", help="How many characters more may be lost, as a share.", min=0)
]
Likeness = Annotated[
    float, typer.Option(metavar="X", help="How much less like the speaker it may be.", min=0)
]
Length = Annotated[
    float, typer.Option(metavar="X", help="How much longer or shorter it may be, as a share.", min=0)
]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("conform")(conform)


def conform(
    url: Url,
    recipe: OfRecipe = None,
    candidate: Candidate = None,
    model: Model = None,
    voice: Voice = "default",
    field: Fields = None,
    out: Out = None,
    words: Words = 0.05,
    likeness: Likeness = 0.05,
    length: Length = 0.25,
) -> None:
    """Ask a server for the judged lines and compare words, likeness and length with the judged samples; exit code 3 if it differs."""
    from voicelathe.registry.speaking import asking, conforming

    recipe, candidate = _whose(recipe, candidate)
    pairs = [one.partition("=") for one in field or ()]
    if wrong := [name for name, equal, _ in pairs if not equal]:
        raise typer.BadParameter(f"--field {wrong[0]}: give NAME=VALUE")
    request = {"model": model, "voice": voice, **{name: value for name, _, value in pairs}}
    server = asking.Server(url, os.environ.get(KEY))
    found = conforming.conform(
        server, recipe, candidate, request, conforming.Margins(words, likeness, length), out
    )
    rows = [
        (
            one.measure, f"{one.judged:.3f}", f"{one.served:.3f}", str(one.lines), one.difference, f"{one.margin:g}",
            "kept" if one.is_kept else "LOST",
        )
        for one in found.compared
    ]  # fmt: skip
    title = f"{found.model} against {found.recipe} {found.candidate}"
    screen.table(title, ("measure", "judged", "served", "lines", "difference", "margin", ""), rows)
    screen.say(f"{found.num_same} of {found.num_asked} samples are the judged ones to the byte.")
    for failure in found.failures:
        screen.say(f"Not spoken: {failure}")
    if not found.is_kept:
        screen.say("This server does not say what was judged.")
        raise typer.Exit(DIFFERS)


def _whose(recipe: str | None, candidate: str | None) -> tuple[str, str]:
    """Recipe and candidate: those given, those in production, or the selected one."""
    from voicelathe import layout, records
    from voicelathe.errors import PromotionError
    from voicelathe.registry import promoted

    if recipe is None:
        promotion = promoted.status(Path()).promotion
        if promotion is None:
            raise PromotionError("Nothing is in production to compare with. Name a recipe: --recipe RECIPE")
        run = records.read_one(layout.run(promotion.recipe, "run.json"), records.RunRecord)
        if run.run_digest != promotion.run_digest:
            raise PromotionError(
                f"Version {promotion.version} is of run {promotion.run_digest[:16]}, but runs/{promotion.recipe} holds the records of "
                f"{run.run_digest[:16]}. Check out the commit that was promoted and dvc checkout, or name a recipe: --recipe RECIPE"
            )
        return promotion.recipe, candidate or promotion.candidate
    chosen = records.read_one(layout.run(recipe, "selection.json"), records.Selection)
    if candidate is None and chosen.selected is None:
        raise PromotionError(f"runs/{recipe}/selection.json selected nothing. Name one: --candidate NAME")
    return recipe, candidate or str(chosen.selected)
