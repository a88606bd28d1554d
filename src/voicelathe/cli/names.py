"""The name of a recipe on the command line: one of params.yaml, or one whose results are still here."""

from typing import Annotated

import typer


def known(recipe: str) -> str:
    """The name itself. Raises ParamsError with the names there are."""
    from voicelathe import layout, params

    if not layout.run(recipe, "run.json").parent.is_dir():
        params.recipe(params.load(), recipe)
    return recipe


def known_or_uri(what: str | None) -> str | None:
    """As `known`; a `models:/` URI, or nothing, as it is."""
    return what if what is None or what.startswith("models:/") else known(what)


Recipe = Annotated[
    str,
    typer.Argument(metavar="RECIPE", help="A name under `recipes:` in params.yaml.", callback=known),
]
