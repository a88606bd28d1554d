"""torchaudio imports beside any build of torch, because nothing of its extension is used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from voicelathe.errors import FamilyUnavailable
from voicelathe.families.shared import torchaudio_shim


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


@pytest.mark.slow
def test_a_constant_of_torchaudio_has_its_value_although_a_model_was_sketched_first() -> None:
    """Imported inside `torch.device("meta")` it had none, and every later clip of CosyVoice 3 ended in an error."""
    sketched = "families.find('voxcpm2').sketch(families.find('voxcpm2').published, None)"
    ask = f"import torch\nfrom voicelathe import families\nwith torch.device('meta'):\n    {sketched}\n"
    ask += "from torchaudio.compliance import kaldi\nprint(kaldi.EPSILON.device)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "cpu"


@pytest.mark.parametrize("module, name", [("json", "CosyVoice3"), ("cosyvoice.nowhere", "CosyVoice3")])
def test_upstream_code_that_is_missing_or_lacks_the_class_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(
        FamilyUnavailable, match=r"CosyVoice 3 speaks .*Run: voicelathe env create cosyvoice3"
    ):
        torchaudio_shim.upstream(module, name, "CosyVoice 3 speaks", "cosyvoice3", torch.device("cpu"))
