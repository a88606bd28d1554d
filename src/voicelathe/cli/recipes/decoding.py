"""`voicelathe decoding`: with which decoding settings should a voice speak?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe.cli import screen
from voicelathe.cli.names import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicelathe.config import schema
    from voicelathe.families.decoding import Setting
    from voicelathe.records import DecodingSweep, DecodingTimes, TriedDecoding
    from voicelathe.stages.decoding.sweep import Tries

Grid = Annotated[
    list[str] | None,
    typer.Option(
        "--grid", metavar="KEY=V1,V2", help="Values of a setting instead of the family's own list; repeat it."
    ),
]
Checkpoints = Annotated[int, typer.Option("--checkpoints", min=1, help="How many of the best steps speak.")]
Num = Annotated[
    int | None, typer.Option("--num", min=8, help="Lines; by default as many as the recipe's pack has.")
]
Lines = Annotated[
    Path | None,
    typer.Option(
        "--lines", metavar="lines/NAME.jsonl", help="A pack of your own instead of lines drawn afresh."
    ),
]
Budget = Annotated[
    int | None,
    typer.Option("--max-samples", min=1, help="Budget instead of the recipe's listen.race.max_samples."),
]
Anyway = Annotated[
    bool, typer.Option("--anyway", help="Although nothing ships: on the best steps without a veto.")
]
Set = Annotated[
    bool, typer.Option("--set", help="Write what is recommended into params.yaml, if anything is.")
]
COLUMNS = (
    "step",
    "settings",
    "lines",
    "words",
    "likeness",
    "\u0394 words",
    "\u0394 likeness",
    "s/s",
    "verdict",
)
TOLD = {
    "in_use": "in use",
    "better": "better",
    "as_good_and_cheaper": "as good, cheaper",
    "no_gain": "as good",
    "not_shown": "not shown",
    "fails": "loses",
    "dropped": "dropped",
    "not_measured": "not measured",
}


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("decoding")(decoding)


def decoding(
    recipe: Recipe,
    grid: Grid = None,
    checkpoints: Checkpoints = 2,
    num: Num = None,
    lines: Lines = None,
    max_samples: Budget = None,
    anyway: Anyway = False,
    write: Set = False,
) -> None:
    """Let the best steps of a recipe speak fresh lines with several decoding settings; is one better than today's, or as good for less?"""
    from voicelathe.config import params
    from voicelathe.errors import ParamsError
    from voicelathe.stages.decoding import sweep

    settings = params.load()
    if write and (others := params.sharing(recipe, "speak")):
        raise ParamsError(
            f"recipes.{recipe}.speak is shared in params.yaml with {', '.join(f'recipes.{one}' for one in others)} by an anchor, so --set "
            "would change those, too. Give it a section of its own first."
        )
    found = sweep.run(
        settings, recipe, _tries(settings, recipe, grid, checkpoints, num, lines, max_samples, anyway)
    )
    record = found.record
    screen.table(f"{recipe}: decoding settings", COLUMNS, _rows(record, found.times))
    for said in _told(record, found.times):
        screen.say(said)
    screen.say(
        f"Listen: {found.place}, a folder for each step and setting. All figures: runs/{recipe}/decoding.json"
    )
    _recommend(settings, record, found.times, write)


def _tries(
    settings: schema.Params,
    recipe: str,
    grid: list[str] | None,
    checkpoints: int,
    num: int | None,
    lines: Path | None,
    max_samples: int | None,
    anyway: bool,
) -> Tries:
    from voicelathe import families
    from voicelathe.config.params import recipe as find_recipe
    from voicelathe.errors import RequestError
    from voicelathe.stages.decoding import fresh_lines, standing, sweep
    from voicelathe.stages.decoding import grid as grids

    if lines is not None and num is not None:
        raise RequestError("--num and --lines: a pack is spoken whole. Give one of them.")
    family = settings.bases[find_recipe(settings, recipe).base].family
    known = families.spec(family).decoding
    values = grids.asked(known, grid) if grid else grids.of_family(known)
    best = standing.best(standing.decided(settings, recipe), recipe, checkpoints, anyway)
    if len(best) < checkpoints:
        screen.say(
            f"{recipe}: {' and '.join(best)} alone; no other step was shown to lose nothing and to be nearer to the speaker."
        )
    drawn = (
        fresh_lines.drawn(settings, recipe, num)
        if lines is None
        else fresh_lines.of_pack(settings, recipe, lines)
    )
    return sweep.Tries(best, values, drawn, max_samples)


def _rows(record: DecodingSweep, times: DecodingTimes) -> list[tuple[str, ...]]:
    """The setting in use, then the recommended ones, then by likeness."""
    first = (record.in_use, record.better, record.cheaper)
    spent = {one.name: one.compute_s_per_s for one in times.times}

    def place(one: TriedDecoding) -> tuple[int, float]:
        likeness = one.levels["likeness"].mean if "likeness" in one.levels else 0.0
        return first.index(one.name) if one.name in first else len(first), -likeness

    return [_row(one, record, spent.get(one.name)) for one in sorted(record.tried, key=place)]


def _row(one: TriedDecoding, record: DecodingSweep, spent: float | None) -> tuple[str, ...]:
    levels = {name: f"{level.mean:.3f}" for name, level in one.levels.items()}
    lines = max((level.lines for level in one.levels.values()), default=0)
    gains = {test.measure: f"{test.difference:+.3f}".replace("-", "\u2212") for test in one.gains}
    return (
        one.candidate.removeprefix("step_").lstrip("0"), one.name.removeprefix(one.candidate).strip(), str(lines),
        levels.get("words", "-"), levels.get("likeness", "-"), gains.get("words", "-"), gains.get("likeness", "-"),
        "-" if spent is None else f"{spent:.2f}", TOLD[one.standing],
    )  # fmt: skip


def _drops(record: DecodingSweep) -> list[str]:
    """Why the race ended early for some, each reason once."""
    from collections import Counter

    counts = Counter(one.drop.because for one in record.tried if one.drop is not None)
    return [f"{number} spoke no further: {because}." for because, number in counts.most_common()]


def _told(record: DecodingSweep, times: DecodingTimes) -> list[str]:
    """What limits the figures."""
    seconds = "CPU seconds" if times.device == "cpu" else "seconds"
    said = [
        f"{record.num_samples} of {record.exhaustive} samples; means of the lines each one spoke; \u0394: against the one in use on the same "
        f"lines; s/s: {seconds} for a second of speech, here, {times.processes} at once.",
        *_drops(record),
    ]
    said += [
        f"{run.metric} did not judge everything: {run.status}. {run.detail}"
        for run in record.metrics
        if not run.is_whole
    ]
    if record.known_lines:
        said.append(
            f"{len(record.known_lines)} of {len(record.lines)} lines are of the pack that the step was chosen on, so gains are optimistic."
        )
    if record.ended == "budget":
        spoken = sum(len(part.lines) for part in record.rounds)
        said.append(f"The budget ended it after {spoken} of {len(record.lines)} lines.")
    return said


def _recommend(settings: schema.Params, record: DecodingSweep, times: DecodingTimes, write: bool) -> None:
    from voicelathe import families
    from voicelathe.config import params
    from voicelathe.families.decoding import as_text

    by_name, recipe = {one.name: one for one in record.tried}, record.recipe
    known = families.spec(settings.bases[settings.recipes[recipe].base].family).decoding
    for name, told in ((record.better, "Better"), (record.cheaper, "As good and cheaper")):
        if name is not None:
            screen.say(f"{told}: {_praise(by_name[name], by_name[record.in_use], times, known)}")
    winner = record.better or record.cheaper
    others = [one for one in record.tried if one.name != record.in_use]
    if others and all(one.standing == "not_measured" for one in others):
        screen.say(
            f"Nothing can be recommended: what the guards ask, or likeness, was measured for none of them. recipes.{recipe}.listen.metrics needs "
            "recogniser, speaker and quality, and speech.recogniser one that knows the language (docs/metrics.md)."
        )
        return
    if winner is None:
        screen.say(
            f"Nothing was shown to be better than what is in use, or as good and cheaper, on {len(record.lines)} lines, so it stays. More lines see "
            "smaller differences."
        )
        return
    one = by_name[winner]
    written = (
        "{" + ", ".join(f"{key}: {known[key].written(value)}" for key, value in one.decoding.items()) + "}"
    )
    if not write:
        screen.say(f"recipes.{recipe}.speak: {written}. Written with the same command and --set.")
        return
    changed = {
        key: value for key, value in one.decoding.items() if value != settings.recipes[recipe].speak[key]
    }
    params.edit(
        {
            f"recipes/{recipe}/speak/{key}": int(value) if known[key].whole else value
            for key, value in changed.items()
        }
    )
    screen.say(
        f"params.yaml: recipes.{recipe}.speak has {as_text(changed)} now. Settings are part of a candidate, so preflight, listen and "
        f"the selection run again, and decide anew; nothing is trained again:  dvc repro track@{recipe}"
    )


def _praise(
    one: TriedDecoding, used: TriedDecoding, times: DecodingTimes, known: Mapping[str, Setting]
) -> str:
    """`step_0000030 guidance 2, steps 6: likeness +0.001 (...); 6 steps instead of 10, 1.7 times fewer`."""
    from voicelathe.evaluate.report import wording

    parts = [f"{test.measure} {wording.difference(test)}" for test in one.gains]
    for name, setting in known.items():
        now, then = one.decoding[name], used.decoding[name]
        if setting.costs and now != then:
            ratio, told = (then / now, "fewer") if now < then else (now / then, "more")
            parts.append(f"{now:g} {name} instead of {then:g}, {ratio:.1f} times {told}")
    spent = {each.name: each.compute_s_per_s for each in times.times}
    if one.name in spent and used.name in spent:
        parts.append(
            f"measured {spent[one.name]:.2f} s of computing for a second of speech instead of {spent[used.name]:.2f}"
        )
    return f"{one.name}: " + "; ".join(parts)
