"""`voicelathe export-data`: the clean split for other trainers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe import layout
from voicelathe.cli import screen
from voicelathe.data.manifest.names import ExportFormat
from voicelathe.errors import GateError

if TYPE_CHECKING:
    from voicelathe import records

To = Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]
Form = Annotated[
    ExportFormat,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="voxcpm, qwen3-tts, cosyvoice, ljspeech or audiofolder (Hugging Face).",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("export-data")(export_data)


def export_data(to: To, format: Form) -> None:
    """Write the clean split, cut into WAV files, as VoxCPM, Qwen3-TTS, CosyVoice, LJSpeech or Hugging Face train on it."""
    from voicelathe import digest, records
    from voicelathe.config import params
    from voicelathe.data import control
    from voicelathe.data.manifest import exporting

    root = Path(params.load().ingest.audio_root)
    passed = _passed()
    splits = {name: records.read(layout.split(name), records.CleanClip) for name in layout.SPLITS}
    written = exporting.export(splits, root, format, to)
    digest.write_json(to / "provenance.json", exporting.provenance(passed, format, written))
    screen.say(
        f"Written to {to}: " + ", ".join(f"{len(clips)} clips for {name}" for name, clips in written.items())
    )
    controlled = sum(1 for clips in splits.values() for clip in clips if control.of(clip))
    if controlled:
        what = (
            "stands in front of their text"
            if format == "voxcpm"
            else "is not written: it has no place for it"
        )
        screen.say(f"{controlled} clips have a control; in the format {format} it {what}.")
    if passed.policy != "required":
        screen.say(
            f"The data passed under consent.policy = {passed.policy}: no voice trained on it may be used as one. "
            "provenance.json says so, too."
        )


def _passed() -> records.Passed:
    """What the gate let through. Raises GateError when it let nothing through, or other files than there are now."""
    from voicelathe import digest, records

    if not layout.GATE.is_file():
        raise GateError(f"{layout.GATE} is missing: the data has not passed the gate. Run: dvc repro gate")
    passed = records.read_one(layout.GATE, records.Passed)
    changed = [
        name
        for name, sha256 in passed.splits.items()
        if not layout.split(name).is_file() or digest.of_file(layout.split(name)) != sha256
    ]
    if changed:
        raise GateError(
            f"{', '.join(str(layout.split(name)) for name in changed)}: not what passed the gate. Run: dvc repro gate"
        )
    return passed
