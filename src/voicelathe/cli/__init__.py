"""The command line: one module per area, and nothing heavy imported before a command needs it.

A user's mistake is one line on stderr, `ErrorClass: what, where, and what to do next`, and exit code 1; `verify` ends with 3
when something does not match. Bugs of ours keep their traceback.
"""

import sys

import typer

from voicelathe.cli.data import consents, corpus, cutting, lexicons, rows, spoken
from voicelathe.cli.machine import bases, environments, health, memory, new_family, recognisers, settings
from voicelathe.cli.production import archives, conforming, exports, histories, production, retention, serving
from voicelathe.cli.recipes import (
    comparisons,
    decoding,
    joining,
    references,
    replicates,
    retraining,
    runs,
    summary,
    why,
)
from voicelathe.errors import VoiceLatheError

app = typer.Typer(
    name="voicelathe",
    help="Fine-tune an open text-to-speech model on your own recordings, and know which checkpoint to ship and why.",
    epilog="The pipeline itself is `dvc repro` (or `make repro`); every setting is in params.yaml. Manual: docs/cli.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for area in (
    corpus,
    cutting,
    exports,
    bases,
    recognisers,
    settings,
    environments,
    new_family,
    consents,
    rows,
    spoken,
    lexicons,
    summary,
    why,
    comparisons,
    retraining,
    joining,
    runs,
    decoding,
    references,
    replicates,
    memory,
    production,
    archives,
    histories,
    serving,
    conforming,
    retention,
    health,
):
    area.register(app)


def main() -> None:
    """Entry point of the `voicelathe` command."""
    try:
        app()
    except VoiceLatheError as problem:
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
        sys.exit(1)
