"""`voicelathe references`: which clip of the speaker should the base hear before it speaks zero-shot?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe.cli import screen
from voicelathe.cli.names import Recipe

if TYPE_CHECKING:
    from voicelathe.stages.references.audition import Tried

Clips = Annotated[int, typer.Option("--clips", min=2, help="Clips that race, the one in use among them.")]
Set = Annotated[
    bool, typer.Option("--set", help="Write the better clip into params.yaml, if one was shown to be.")
]
COLUMNS = (
    "clip",
    "heard as",
    "recording",
    "seconds",
    "lines",
    "words kept",
    "likeness",
    "against the one in use",
)


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("references")(references)


def references(recipe: Recipe, clips: Clips = 6, write: Set = False) -> None:
    """Let the base of a recipe speak after several clips of the speaker, in each of its ways to hear one; is one better than today's?"""
    from voicelathe.config import params
    from voicelathe.stages.references import audition

    found = audition.hold(params.load(), recipe, clips)
    screen.table(
        f"{recipe}: what the base hears first",
        COLUMNS,
        [_row(one, found.tried[0].name) for one in found.tried],
    )
    for run in found.unheard:
        screen.say(f"{run.metric} did not judge everything: {run.status}. {run.detail}")
    screen.say(f"Listen: {found.place}, a folder for each clip and way.")
    if found.better is None:
        screen.say(
            f"Nothing was shown to be better than what is in use on {found.num_lines} lines, so it stays. More lines see smaller differences."
        )
        return
    clip, way = found.better.clip.clip_id, found.better.way
    if not write:
        screen.say(
            f"Better: {clip}, heard as {way}. Take it:  voicelathe references {recipe} --clips {clips} --set"
        )
        return
    place = f"recipes/{recipe}/evaluate"
    params.edit({f"{place}/reference": clip, f"{place}/zero_shot": way})
    screen.say(
        f"params.yaml: recipes.{recipe}.evaluate.reference = {clip}, zero_shot = {way}. Nothing is trained again; the base is heard anew:  "
        "dvc repro"
    )


def _row(one: Tried, used: str) -> tuple[str, ...]:
    from voicelathe.evaluate.report import wording

    levels = {name: f"{level.mean:.3f}" for name, level in one.levels.items()}
    lines = max((level.lines for level in one.levels.values()), default=0)
    against = ", ".join(
        f"{test.measure} {test.difference:+.3f} (p {min(test.p_better, test.p_worse):.3f})"
        for test in one.gains
    )
    told = "in use" if one.name == used else against
    if one.drop:
        told += (
            f"; dropped: {wording.dropped(one.drop, lambda name: 'the one in use' if name == used else name)}"
        )
    seconds = f"{one.clip.end_s - one.clip.start_s:.1f}"
    return (
        one.clip.clip_id, one.way, one.clip.recording_id, seconds, str(lines),
        levels.get("words", "not heard"), levels.get("likeness", "not heard"), told,
    )  # fmt: skip
