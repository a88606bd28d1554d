"""Commands on rows: keep a split for ever, and name the clips behind an outlying training step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen
from voicelathe.errors import GateError, ParamsError, SplitError

Name = Annotated[str, typer.Argument(metavar="NAME", help="Folder below splits/ to write.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("gate")(gate)
    app.command("freeze")(freeze)


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
    from voicelathe import layout, params, records
    from voicelathe.data import gatekeeper, tables

    limits = params.load().gate
    rows = records.read(layout.MANIFEST, records.ManifestRow)
    measures = tables.read(layout.MEASURES, records.ClipMeasure)
    verdict = gatekeeper.look(rows, measures, limits, layout.RAW_GATE_REPORT)
    for line in gatekeeper.failures(verdict):
        screen.say(line)
    screen.say(
        f"{len(verdict.failures)} of {len(verdict.checks)} checks failed; see {layout.RAW_GATE_REPORT}"
    )


def freeze(name: Name) -> None:
    """Keep the present split in splits/NAME: however much data is added, what was tested on is never trained on."""
    import re

    from voicelathe import digest, layout, params, settings

    if not re.match(settings.NAME, name):
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
