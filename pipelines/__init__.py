"""The stages: one thin script each, run as `python -m pipelines.<name>`. What a user can cause ends in a sentence, not in a traceback."""

import sys
from collections.abc import Callable
from pathlib import Path

from voicelathe.errors import VoiceLatheError
from voicelathe.process import runner
from voicelathe.runs import experiments, makers


def run(main: Callable[[], None]) -> None:
    """Run a stage; a VoiceLatheError goes to stderr without a traceback and the exit code is 1. `doctor` says which machine it was."""
    runner.die_with_parent()
    try:
        experiments.share(Path.cwd())
        main()
        makers.note(Path(sys.argv[0]).stem, sys.argv[1:])
    except VoiceLatheError as problem:
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
        sys.exit(1)
