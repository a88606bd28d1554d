"""Names on the command line: of a recipe in params.yaml or one whose results are still here, and of a folder below data/."""

import re
from typing import Annotated

import typer


def known(recipe: str) -> str:
    """The name itself. Raises ParamsError with the names there are."""
    from voicelathe import layout
    from voicelathe.config import params

    if not layout.run(recipe, "run.json").parent.is_dir():
        params.recipe(params.load(), recipe)
    return recipe


def manifest_folder(name: str) -> str:
    """A name that a folder below data/ may have. Raises ManifestError for those of the pipeline."""
    from voicelathe.config import schema
    from voicelathe.errors import ManifestError

    if name in ("raw", "measured", "audit", "split", "gate", "latents", "bases", "demo", "phrases"):
        raise ManifestError(f"--name {name!r}: data/{name} belongs to the pipeline. Give another name.")
    if not re.fullmatch(schema.NAME, name):
        raise ManifestError(
            f"--name {name!r}: lower-case letters, digits, '_' and '-' only. Give another: --name NAME"
        )
    return name


def sentence(text: str | None) -> str | None:
    """The text itself. Raises RequestError for bytes that are no text: they would end the command when they are recorded."""
    from voicelathe import digest
    from voicelathe.errors import RequestError

    if text and digest.half_character(text):
        raise RequestError(f"{text!r} holds bytes that are no UTF-8. Type it again.")
    return text


def known_or_uri(what: str | None) -> str | None:
    """As `known`; a `models:/` URI, or nothing, as it is."""
    return what if what is None or what.startswith("models:/") else known(what)


Recipe = Annotated[
    str,
    typer.Argument(metavar="RECIPE", help="A name under `recipes:` in params.yaml.", callback=known),
]
Candidate = Annotated[
    str | None,
    typer.Option(
        metavar="STEP",
        help="Another candidate than the selected one: 2000, or 2000@0.35 with its LoRA scale.",
    ),
]
