"""Commands on rows: keep a split for ever, and name the clips behind an outlying training step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen
from voicelathe.cli.names import Recipe
from voicelathe.errors import GateError, ParamsError, SplitError

GENERAL = "a clip of the general set"  # whichever it is: no row of the raw manifest

Name = Annotated[str, typer.Argument(metavar="NAME", help="Folder below splits/ to write.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("gate")(gate)
    app.command("freeze")(freeze)
    app.command("contamination")(contamination)
    app.command("spikes")(spikes)


def gate(
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Judge the raw manifest and stop nothing.")
    ] = False,
) -> None:
    """What the gate says about the raw manifest, before any audit. The gate itself is a stage: `dvc repro gate`."""
    if not report_only:
        raise GateError(
            "the gate that lets training begin is a stage: dvc repro gate. To look only: --report-only"
        )
    from voicelathe import layout, lines, records
    from voicelathe.config import params
    from voicelathe.data import columns, tables
    from voicelathe.stages import gate

    settings = params.load()
    rows = columns.read(layout.MANIFEST, records.ManifestRow)
    measures = tables.columns(layout.MEASURES, records.ClipMeasure)
    verdict = gate.look(rows, measures, settings.gate, layout.RAW_GATE_REPORT, dict(lines.packs(settings)))
    for line in gate.failures(verdict):
        screen.say(line)
    screen.say(
        f"{len(verdict.failures)} of {len(verdict.checks)} checks failed; see {layout.RAW_GATE_REPORT}"
    )


def freeze(name: Name) -> None:
    """Keep the present split in splits/NAME: however much data is added, what was tested on is never trained on."""
    import re

    from voicelathe import digest, layout
    from voicelathe.config import params, schema

    if not re.match(schema.NAME, name):
        raise ParamsError(f"{name!r}: a name may hold lower-case letters, digits, '.', '_' and '-' only")
    folder = layout.FROZEN_SPLITS / name
    if folder.exists():
        raise SplitError(f"{folder} exists. A frozen split is not changed; choose another name.")
    files = {split: layout.split(split) for split in layout.SPLITS}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise SplitError(f"{', '.join(missing)} missing. Make the split first: dvc repro split")
    for split, path in files.items():
        digest.write_bytes(Path(folder / f"{split}.jsonl"), path.read_bytes())
    params.edit({"split/frozen": name})
    screen.say(f"{folder} holds the split, and params.yaml names it. Add both to git.")


def contamination(
    all_steps: Annotated[bool, typer.Option("--steps", help="Name every step that holds a bad row.")] = False,
) -> None:
    """What the raw manifest would have done to each recipe: steps with a bad row, by the formula and by its own sampler."""
    from voicelathe import layout, records, rng
    from voicelathe.config import params
    from voicelathe.data.audit import contamination
    from voicelathe.data.references import pairs, planning
    from voicelathe.train import batches

    settings = params.load()
    rows = records.read(layout.MANIFEST, records.ManifestRow)
    ids = [row.clip_id for row in rows]
    bad = {one.clip_id for one in records.read(layout.QUARANTINE, records.Quarantined) if one.clip_id}
    screen.say(f"{len(bad)} of {len(ids)} rows of the raw manifest are bad. Had they all been trained on:")
    for name, recipe in settings.recipes.items():
        train = recipe.train
        seed, share = rng.training_seed(train, settings.seed), train.reference_share
        mixed = train.replay_share
        steps = batches.every_step(
            ids, train.steps, train.clips_per_step, seed, [GENERAL] if mixed else [], mixed
        )
        paired = pairs.Pairs(planning.of_raw(rows, bad), share, seed) if share else None
        found = contamination.of(name, ids, bad, steps, paired, 1.0 - mixed)
        heard = f", {mixed:.0%} of them of the general set," if mixed else ""
        heard += f" and references of {share:.0%} of them" if share else ""
        screen.say(
            f"{name}: {len(found.bad_steps)} of {found.steps} steps of {found.clips_per_step} clips{heard} hold a bad row "
            f"({found.exact:.2%}; by 1 - (1 - p)^N {found.closed_form:.2%})"
        )
        if all_steps:
            screen.say("  " + " ".join(map(str, found.bad_steps)))


def spikes(recipe: Recipe) -> None:
    """The clips of every step of a run that stands out in loss or gradient norm, and what the audit found in them."""
    from voicelathe import layout, records
    from voicelathe.data import tables
    from voicelathe.data.audit import rules, spikes

    steps = records.read(layout.run(recipe, "steps.jsonl"), records.StepRecord)
    findings = tables.read(layout.FINDINGS, records.Finding)
    found = spikes.find(steps, findings, records.read(layout.MANIFEST, records.ManifestRow))
    for spike in found:
        screen.say(f"step {spike.step}: {'; '.join(spike.signs)}")
        for clip in spike.clips:
            place = (
                (GENERAL if clip.is_replayed else "not in the raw manifest")
                if clip.line is None
                else f"line {clip.line} {rules.shown(clip.text)}"
            )
            known = f"; {', '.join(clip.findings)}" if clip.findings else ""
            often = f" (in {clip.num_spikes} of its {clip.num_steps} steps)" if clip.num_spikes > 1 else ""
            screen.say(f"  {clip.clip_id} {place}{often}{known}")
    screen.say(f"{recipe}: {len(found)} of {len(steps)} steps stand out")
