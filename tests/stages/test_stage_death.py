"""Who dies with whom: a stage with the pipeline that started it, a program that serves a voice with nobody."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEATH_SIGNAL = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"  # PR_GET_PDEATHSIG


def ask(code: str) -> str:
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()[-1]


def test_a_stage_asks_to_die_with_the_process_that_started_it() -> None:
    assert ask(f"import pipelines\ndef main():\n    {DEATH_SIGNAL}\npipelines.run(main)") == "15"


@pytest.mark.slow
def test_a_program_that_starts_a_worker_does_not() -> None:
    start = (
        "from voicelathe import errors; from voicelathe.process import jobs, runner\n"
        "from tests.factories import training\n"
        "from pathlib import Path\n"
        "job = training.train_job(Path('nowhere'), Path('nowhere/run'), training.train_settings('lora'))\n"
        "import dataclasses\n"
        "job = dataclasses.replace(job, target=dataclasses.replace(job.target, base='nowhere'))\n"
        "try:\n    runner.run(job, 'test')\n"
        "except errors.VoiceLatheError as problem:\n    print(type(problem).__name__)\n"
        "else:\n    raise SystemExit('a base that is not there was loaded')\n"
    )
    assert ask(start + DEATH_SIGNAL) == "0"
