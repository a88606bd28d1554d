"""Whatever upstream draws from while it speaks, the seed of the line decides it: global generators, and a `seed` of its own if it takes one.

VoxCPM after 2.0.3 reseeds itself at random inside `_generate` unless a `seed` is passed: every sweep would then be another one, with no
error at all. Its `generate(*args, **kwargs)` swallows any name, so the signature that is asked is that of the function that draws.
"""

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def of(seed: int) -> Iterator[None]:
    """Set the generators of torch (every device), numpy and Python from the seed; afterwards numpy and Python go on as before."""
    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state()
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def given(seed: int, draws: Callable[..., Any]) -> dict[str, Any]:
    """`{"seed": seed}` for a function that takes one by name, else nothing."""
    named = inspect.signature(draws).parameters.get("seed")
    return {"seed": seed} if named is not None and named.kind is not named.VAR_KEYWORD else {}
