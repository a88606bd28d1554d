"""Which metrics there are is known from the entry points of installed packages."""

from importlib.metadata import entry_points
from typing import Any

import pytest

from voicelathe import plugins
from voicelathe.evaluate.metrics import found


def test_the_entry_points_of_all_installed_packages_are_read_once_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A decision asks for every built-in metric twice, and reading takes a tenth of a second."""
    read: list[str] = []

    def counted(**named: str) -> Any:
        read.append(named["group"])
        return entry_points(**named)

    monkeypatch.setattr(plugins, "entry_points", counted)
    monkeypatch.syspath_prepend("/nowhere/that/was/asked/before")
    assert found.built_in_codes() == found.built_in_codes()
    assert read == [found.GROUP]
