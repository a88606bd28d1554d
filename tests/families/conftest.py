"""One small random Qwen3-TTS for the whole session; loading it costs half a second, importing its package ten."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.factories import qwen_base
from voicelathe import families, settings

CPU = settings.Machine("cpu", 1)


@pytest.fixture(scope="session")
def qwen_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return qwen_base.write(tmp_path_factory.mktemp("bases") / "qwen3-tts-tiny")


@pytest.fixture
def qwen(qwen_dir: Path) -> Callable[..., Any]:
    """Load the base, freshly each time, through the official loader."""

    def load(parts: str = "core", directory: Path = qwen_dir) -> Any:
        family = families.find("qwen3_tts")
        return family.load(directory, family.describe(directory, "Apache-2.0", False), CPU, parts)

    return load
