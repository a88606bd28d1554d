"""The model families voicelathe can fine-tune; the table is the only place that lists them."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from voicelathe.errors import FamilyUnavailable

if TYPE_CHECKING:
    from voicelathe.families.base import Family, FamilySpec

TABLE = {  # name -> the module whose FAMILY implements it
    "voxcpm2": "voicelathe.families.voxcpm.v2",
    "voxcpm15": "voicelathe.families.voxcpm.v15",
    "qwen3_tts": "voicelathe.families.qwen3_tts.spec",
    "cosyvoice3": "voicelathe.families.cosyvoice3.spec",
    "indextts2": "voicelathe.families.indextts2.spec",
    "indextts25": "voicelathe.families.indextts2.v25",
}


def spec(family: str) -> "FamilySpec":
    """What is known of a family without importing torch."""
    return find(family).spec


def find(family: str) -> "Family":
    """The family's implementation; importing it does not import torch, using it does.

    Raises FamilyUnavailable with the names there are.
    """
    if family not in TABLE:
        raise FamilyUnavailable(
            f"bases.*.family = {family!r}: no such family. There are: {', '.join(sorted(TABLE))}."
        )
    implementation: Family = import_module(TABLE[family]).FAMILY
    return implementation


def recognise(base: Path) -> str | None:
    """The family of a model directory; None when there is none."""
    return next((name for name in TABLE if find(name).recognises(base)), None)
