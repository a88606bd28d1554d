"""The model families voicelathe can fine-tune; the table is the only place that lists them."""

from importlib import import_module
from typing import TYPE_CHECKING

from voicelathe.errors import FamilyUnavailable

if TYPE_CHECKING:
    from voicelathe.families.base import Family, FamilySpec

MODULES = {"voxcpm2": "voicelathe.families.voxcpm"}
FILES = {"voxcpm2": "voicelathe.families.voxcpm_files"}  # describe, verify, pinned: without torch
ARCHITECTURES = {"voxcpm2": "voxcpm2"}  # `architecture` in a base's config.json -> family


def spec(family: str) -> "FamilySpec":
    """What is known of a family without importing torch."""
    return find(family).spec


def find(family: str) -> "Family":
    """The family's implementation; importing it does not import torch, using it does.

    Raises FamilyUnavailable with the names there are.
    """
    if family not in MODULES:
        raise FamilyUnavailable(
            f"bases.*.family = {family!r}: no such family. There are: {', '.join(sorted(MODULES))}."
        )
    implementation: Family = import_module(MODULES[family]).FAMILIES[family]
    return implementation
