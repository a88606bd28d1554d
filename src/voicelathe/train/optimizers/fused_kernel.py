"""The Triton kernel of `fused`. Moments are read and quantised by bitsandbytes' own functions for Triton, to the nearest code."""

import triton
import triton.language as tl
from bitsandbytes.backends.triton.kernels_8bit_quant import (
    dequant_8bit_blockwise_kernel_util,
    quantize_8bit_blockwise_kernel_util,
)


@triton.jit  # type: ignore[untyped-decorator]
def adamw_split16(
    weight_ptr: tl.tensor, low_ptr: tl.tensor, gradient_ptr: tl.tensor, first_ptr: tl.tensor, second_ptr: tl.tensor, codes1_ptr: tl.tensor,
    codes2_ptr: tl.tensor, absmax1_ptr: tl.tensor, absmax2_ptr: tl.tensor, size: tl.tensor, scale: tl.tensor, keep: tl.tensor, rate: tl.tensor,
    root: tl.tensor, beta1: tl.tensor, rest1: tl.tensor, beta2: tl.tensor, rest2: tl.tensor, eps: tl.tensor, BLOCK_SIZE: tl.constexpr,
) -> None:  # fmt: skip
    """One block of 256 values: bits of bf16 weights and of their lower halves [N] (int16), gradients [N], codes [N] (uint8)."""
    block = tl.program_id(0)
    places = block * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    inside = places < size
    upper = tl.load(weight_ptr + places, mask=inside, other=0).to(tl.int32)
    lower = tl.load(low_ptr + places, mask=inside, other=0).to(tl.int32)
    master = ((upper << 16) + lower).to(tl.float32, bitcast=True)
    gradient = tl.load(gradient_ptr + places, mask=inside, other=0.0).to(tl.float32) * scale
    first = dequant_8bit_blockwise_kernel_util(first_ptr, places, codes1_ptr, absmax1_ptr, inside, BLOCK_SIZE)
    second = dequant_8bit_blockwise_kernel_util(
        second_ptr, places, codes2_ptr, absmax2_ptr, inside, BLOCK_SIZE
    )
    first = tl.where(inside, first * beta1 + rest1 * gradient, 0.0)
    second = tl.where(inside, second * beta2 + rest2 * gradient * gradient, 0.0)
    master = master * keep - rate * (first / (tl.sqrt(second) / root + eps))
    bits = master.to(tl.int32, bitcast=True)
    tl.store(low_ptr + places, bits.to(tl.int16), mask=inside)
    tl.store(weight_ptr + places, ((bits + 0x8000) >> 16).to(tl.int16), mask=inside)
    own = block + tl.arange(0, 1)
    codes, absmax = quantize_8bit_blockwise_kernel_util(first, codes1_ptr, 256, BLOCK_SIZE, 1)
    tl.store(first_ptr + places, codes, mask=inside)
    tl.store(absmax1_ptr + own, absmax)
    codes, absmax = quantize_8bit_blockwise_kernel_util(second, codes2_ptr, 256, BLOCK_SIZE, 1)
    tl.store(second_ptr + places, codes, mask=inside)
    tl.store(absmax2_ptr + own, absmax)
