"""`python -I -m voicelathe.families.shared.repickle SOURCE TARGET`: tensors of a safetensors file as upstream's .pt, for an export.

The file holds a dict of tensors and nothing else, so `torch.load(..., weights_only=True)` reads it.
"""

import os
import sys
from pathlib import Path


def main() -> int:
    """Written under a temporary name and renamed."""
    import torch
    from safetensors.torch import load_file

    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    torch.save(load_file(source), draft)
    draft.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
