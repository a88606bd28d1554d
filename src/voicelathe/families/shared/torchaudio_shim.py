"""Lets upstream packages import torchaudio beside any build of torch; we use nothing of it ourselves.

The torchaudio 2.11 wheel links CUDA 13.0, so beside a CPU torch its import raises OSError, beside a torch of another CUDA RuntimeError,
and takes voxcpm, qwen_tts and parts of transformers with it. With its extension module replaced by an empty one, the pure-torch
parts import and work.
"""

import sys
import types
from typing import Any


def ensure() -> str:
    """Make `import torchaudio` work; returns "native", "no extension" or "absent". Call before importing an upstream package."""
    try:
        import torchaudio  # noqa: F401
    except ModuleNotFoundError:
        return "absent"
    except (OSError, RuntimeError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _no_extension()

        return "no extension"
    return "native"


def kaldi() -> Any:
    """torchaudio's Kaldi features, which are plain torch. Raises ImportError when torchaudio is not installed."""
    ensure()
    from torchaudio.compliance import kaldi as features

    return features


def read_with(load: Any) -> None:
    """Let `torchaudio.load` be this function: from 2.9 on its own needs torchcodec, whose wheel is for CUDA."""
    import torchaudio

    torchaudio.load = load


def _no_extension() -> types.ModuleType:
    stub = types.ModuleType("torchaudio._extension")
    stub.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        fail_if_no_align=lambda function: function,
        lazy_import_sox_ext=lambda: None,
    )
    return stub
