"""Small random bases for the whole session; loading one costs half a second, importing qwen_tts ten."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.factories import (
    cosyvoice3_base,
    indextts2_base,
    indextts25_base,
    qwen_base,
    training,
    voxcpm2_base,
    voxcpm15_base,
)
from tests.families import labs
from tests.families.labs import Lab
from voicelathe import families
from voicelathe.config import schema

CPU = schema.Machine("cpu", 1, 1)


@pytest.fixture(scope="session")
def qwen_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return qwen_base.write(tmp_path_factory.mktemp("bases") / "qwen3-tts-tiny")


@pytest.fixture(scope="session")
def cosyvoice3_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `voicelathe base add` leaves it. Read only."""
    base = cosyvoice3_base.write(tmp_path_factory.mktemp("bases") / "cosyvoice3-tiny")
    assert families.find("cosyvoice3").complete(base) == ["llm.safetensors"]
    return base


@pytest.fixture(scope="session")
def indextts2_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `voicelathe base add` leaves it. Read only."""
    base = indextts2_base.write(tmp_path_factory.mktemp("bases") / "indextts2-tiny")
    assert families.find("indextts2").complete(base) == ["gpt.safetensors"]
    return base


@pytest.fixture(scope="session")
def indextts25_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `voicelathe base add` leaves it. Read only."""
    base = indextts25_base.write(tmp_path_factory.mktemp("bases") / "indextts25-tiny")
    assert families.find("indextts25").complete(base) == ["gpt.safetensors"]
    return base


@pytest.fixture(scope="session")
def voxcpm15_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return voxcpm15_base.write(tmp_path_factory.mktemp("bases") / "voxcpm15-tiny")


@pytest.fixture(params=["voxcpm2", "voxcpm15"])
def voxcpm(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Load VoxCPM 2, or VoxCPM 1.5, for training."""
    family = families.find(request.param)
    base = voxcpm2_base.shared() if request.param == "voxcpm2" else request.getfixturevalue("voxcpm15_dir")

    def load() -> Any:
        model = family.open_model(base, family.describe(base, "Apache-2.0", False), CPU)
        model.core.train()
        return model

    return load


@pytest.fixture
def qwen(qwen_dir: Path) -> Callable[..., Any]:
    """Open the base, freshly each time, through the official loader."""

    def opened(role: str = "model", directory: Path = qwen_dir) -> Any:
        family = families.find("qwen3_tts")
        facts = family.describe(directory, "Apache-2.0", False)
        return getattr(family, f"open_{role}")(directory, facts, CPU)

    return opened


@pytest.fixture(scope="session", params=sorted(families.TABLE))
def lab(request: pytest.FixtureRequest) -> Lab:
    made = {
        "voxcpm2": lambda: labs.voxcpm("voxcpm2", training.BASE),
        "voxcpm15": lambda: labs.voxcpm("voxcpm15", request.getfixturevalue("voxcpm15_dir")),
        "qwen3_tts": lambda: labs.qwen3_tts(request.getfixturevalue("qwen_dir")),
        "indextts2": lambda: labs.indextts2(
            request.getfixturevalue("indextts2_dir"), "indextts2", indextts2_base.features
        ),
        "indextts25": lambda: labs.indextts2(
            request.getfixturevalue("indextts25_dir"), "indextts25", indextts25_base.features
        ),
        "cosyvoice3": lambda: labs.cosyvoice3(request.getfixturevalue("cosyvoice3_dir")),
    }
    found: Lab = made[request.param]()
    return found
