"""`voicelathe join`: this machine's GPUs train a recipe together with the machine that runs its stage."""

from pathlib import Path

import typer

from voicelathe.cli import screen
from voicelathe.cli.names import Recipe
from voicelathe.errors import ParamsError

TRIAL = "preflight-"  # a run of the stage preflight: that of train follows it


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("join")(join)


def join(recipe: Recipe) -> None:
    """Train a recipe together with the machine that runs its stage (nodes.count in params.yaml); ends when the training does."""
    from voicelathe.config import params
    from voicelathe.process import runner, together

    settings = params.load()
    params.recipe(settings, recipe)
    if settings.nodes.count == 1:
        raise ParamsError(
            "nodes.count = 1: every recipe is trained by one machine, so there is nothing to join. Set it to the number of machines, and "
            "machine.processes to all their GPUs together (docs/scale.md)."
        )
    runner.stop_with_exit_code()
    while Path(together.join(recipe, settings.nodes).directory).name.startswith(TRIAL):
        screen.say(f"{recipe}: the preflight is trained; waiting for the training itself.")
    screen.say(f"{recipe}: trained.")
