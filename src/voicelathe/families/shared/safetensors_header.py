"""What a .safetensors file holds, from its header alone and without torch, and whether the file is whole.

Format: 8 bytes little-endian length, the JSON header, the data (huggingface/safetensors, README, "Format").
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voicelathe.errors import BaseModelError

MAX_HEADER_BYTES = 100_000_000  # the limit of the reference implementation


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file."""

    dtype: str  # F32, BF16, I64, ...
    shape: tuple[int, ...]

    @property
    def num_values(self) -> int:
        return math.prod(self.shape)


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Tensors by name. Raises BaseModelError when the file is not whole, or not safetensors at all."""
    return _read(path)[0]


def read_metadata(path: Path) -> dict[str, str]:
    """The free text of the header. Raises BaseModelError as `read_header`."""
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else MAX_HEADER_BYTES + 1
        text = file.read(length) if length <= MAX_HEADER_BYTES else b""
    try:
        header = json.loads(text)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        tensors = {name: _info(entry) for name, entry in entries.items()}
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        raise BaseModelError(
            f"{path} is not a safetensors file ({size:,} bytes). Download it again."
        ) from None
    if end != size:
        raise BaseModelError(
            f"{path} is damaged: it should have {end:,} bytes and has {size:,}. Download it again."
        )
    return tensors, header.get("__metadata__", {})


def _info(entry: Mapping[str, object]) -> TensorInfo:
    shape = entry["shape"]
    if not isinstance(shape, list) or not all(isinstance(length, int) for length in shape):
        raise TypeError("shape")
    return TensorInfo(str(entry["dtype"]), tuple(shape))
