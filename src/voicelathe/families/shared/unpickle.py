"""`python -I -m voicelathe.families.shared.unpickle SOURCE TARGET ORIGIN`: the one place that opens a pickle, and the process ends with it."""

import os
import sys
import zipfile
from pathlib import Path
from typing import Any

NESTED = ("model", "state_dict")  # where trainers put the weights among their counters


def main() -> int:
    """Read with `weights_only`, keep the tensors, write them beside the source under a temporary name, rename."""
    import torch
    from safetensors.torch import save_file

    source, target, origin = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    try:
        stored: Any = torch.load(
            source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source)
        )
    except Exception as problem:
        lines = str(problem).splitlines() or [""]
        print(f"{type(problem).__name__}: {lines[0]}", file=sys.stderr)
        return 1
    for name in NESTED:
        if isinstance(stored, dict) and isinstance(stored.get(name), dict):
            stored = stored[name]
    tensors = {
        name: value.detach().clone().contiguous()  # names that share memory upstream have their own copy here
        for name, value in (stored.items() if isinstance(stored, dict) else ())
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        print(f"no tensors in it, but {type(stored).__name__}", file=sys.stderr)
        return 1
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    save_file(tensors, draft, {"converted_from": origin})
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
