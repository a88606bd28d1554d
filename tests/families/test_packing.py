"""Two ways to attend inside the clips of a stream, one result."""

import torch

from voicelathe.families.shared import packing


def test_attending_clip_by_clip_is_attending_on_the_padded_view_gradients_included() -> None:
    at = packing.layout([7, 1, 19, 4], torch.device("cpu"))
    for shared in (4, 2):  # heads of key and value
        generator = torch.Generator().manual_seed(shared)
        given = [
            torch.randn(1, heads, 31, 8, generator=generator, dtype=torch.float64)
            for heads in (4, shared, shared)
        ]
        weight = torch.randn(31, 32, generator=generator, dtype=torch.float64)
        found = []
        for way in (packing.attend, packing.attend_apart):
            leaves = [one.clone().requires_grad_() for one in given]
            out = way(*leaves, at)
            found.append([out.detach(), *torch.autograd.grad((out * weight).sum(), leaves)])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
