"""torchaudio imports beside any build of torch, because nothing of its extension is used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "problem",
    [
        "OSError('libc10_cuda.so: cannot open shared object file')",  # a CPU build of torch
        "RuntimeError('Detected that PyTorch and TorchAudio were compiled with different CUDA versions.')",
    ],
)
def test_an_extension_for_another_torch_is_left_out(tmp_path: Path, problem: str) -> None:
    package = tmp_path / "torchaudio"
    (package / "_extension").mkdir(parents=True)
    (package / "__init__.py").write_text("from torchaudio._extension import _IS_ALIGN_AVAILABLE\n")
    (package / "_extension" / "__init__.py").write_text(f"raise {problem}\n")
    ask = "from voicelathe.families.shared import torchaudio_shim; print(torchaudio_shim.ensure()); import torchaudio"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == "no extension"
