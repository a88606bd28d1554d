"""AdamW with 8-bit moments around bitsandbytes' kernels, for fp32 weights and for bf16 weights with a master.

The only importer of bitsandbytes. A master exists only for the piece that is being updated: join, update, split, next piece.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from bitsandbytes import functional
from bitsandbytes.optim.optimizer import Optimizer2State
from torch import Tensor, nn

from voicelathe.train import precision

PIECE = (
    1 << 24
)  # parameters whose master exists at a time: 64 MB of it and 64 MB of gradient; a multiple of the kernels' block
BLOCK = 256  # bitsandbytes' block of one scale
PAGED_FROM = 100_000  # elements; bitsandbytes pages no smaller state


class AdamW8bit(Optimizer2State):  # type: ignore[misc]
    """Decoupled weight decay, moments quantised in blocks of 256; parameters under 4,096 elements keep fp32 moments.

    `gradient_scale` multiplies every gradient inside the update (clipping without another pass over bf16 gradients; unused with
    fp32 weights). `number` is the optimizer step, which keys stochastic rounding.
    """

    def __init__(
        self, groups: "Iterable[dict[str, Any]]", names: Mapping[nn.Parameter, str], lows: Mapping[str, Tensor],
        *, weights: precision.Weights, paged: bool, lr: float, betas: tuple[float, float], eps: float, seed: int,
    ) -> None:  # fmt: skip
        super().__init__("adam", groups, lr=lr, betas=betas, eps=eps, optim_bits=8, is_paged=paged)
        self.names, self.lows, self.weights, self.seed = names, dict(lows), weights, seed
        self.gradient_scale, self.number = 1.0, 0
        self.places = {
            parameter: (group, place)
            for group, members in enumerate(self.param_groups)
            for place, parameter in enumerate(members["params"])
        }

    @torch.no_grad()
    def init_state(self, group: Any, parameter: nn.Parameter, group_index: int, place: int) -> None:
        super().init_state(group, parameter, group_index, place)
        if self.weights in precision.LOW_DTYPES:
            low = self.lows.pop(self.names[parameter], None)
            dtype = precision.LOW_DTYPES[self.weights]
            self.state[parameter]["low"] = (
                torch.zeros_like(parameter, dtype=dtype) if low is None else low.to(parameter.device)
            )

    @torch.no_grad()
    def update_step(self, group: Any, parameter: nn.Parameter, group_index: int, place: int) -> None:
        if self.weights == "fp32":
            super().update_step(group, parameter, group_index, place)
            return
        state, config = self.state[parameter], self.get_config(group_index, place, group)
        state["step"] += 1
        assert parameter.is_contiguous() and parameter.grad is not None
        weight, gradient = parameter.data.view(-1), parameter.grad.reshape(-1)
        coins = precision.rounding_generator(parameter.device, self.seed, self.number, self.names[parameter])
        for start in range(0, len(weight), PIECE):
            piece = slice(start, start + PIECE)
            low = state["low"].view(-1)[piece] if "low" in state else None
            master = weight[piece].float() if low is None else precision.join(weight[piece], low)
            self._update(master, gradient[piece].float().mul_(self.gradient_scale), state, config, piece)
            if low is None:
                weight[piece] = precision.round_stochastically(master, coins)
            else:
                weight[piece], low[:] = precision.split(master, low.dtype, coins)

    def _update(
        self, master: Tensor, gradient: Tensor, state: dict[str, Any], config: dict[str, Any], piece: slice
    ) -> None:
        first, second = (_view(state[name], piece) for name in ("state1", "state2"))
        beta1, beta2 = config["betas"]
        if first.dtype == torch.float32:
            functional.optimizer_update_32bit(
                self.optimizer_name, gradient, master, first, beta1, config["eps"], state["step"], config["lr"], second, beta2,
                0.0, 0.0, config["weight_decay"],
            )  # fmt: skip
            return
        blocks = slice(piece.start // BLOCK, -(-piece.stop // BLOCK))
        functional.optimizer_update_8bit_blockwise(
            self.optimizer_name, gradient, master, first, second, beta1, beta2, 0.0, 0.0, config["eps"], state["step"],
            config["lr"], state["qmap1"], state["qmap2"], state["absmax1"][blocks], state["absmax2"][blocks],
            config["weight_decay"],
        )  # fmt: skip

    @torch.no_grad()
    def take(self, parameter: nn.Parameter) -> None:
        """Update one parameter now and free its gradient: a hook of backward."""
        group_index, place = self.places[parameter]
        group = self.param_groups[group_index]
        if not self.state[parameter]:
            self.init_state(group, parameter, group_index, place)
        self.prefetch_state(parameter)
        self.update_step(group, parameter, group_index, place)
        parameter.grad = None


def paged_copy(optimizer: AdamW8bit, parameter: nn.Parameter, tensor: Tensor) -> Tensor:
    """A moment loaded from a file, back in paged memory: `load_state_dict` of bitsandbytes would leave it resident on the card."""
    paged: Tensor = functional.get_paged(*tensor.shape, dtype=tensor.dtype, device=parameter.device)
    paged.copy_(tensor)
    optimizer.page_mng.paged_tensors.append(paged)
    assert getattr(paged, "is_paged", False)
    return paged


def _view(moment: Tensor, piece: slice) -> Tensor:
    """A piece of a moment; what makes a paged tensor usable on the GPU are Python attributes, which views do not inherit."""
    view = moment.view(-1)[piece]
    if getattr(moment, "is_paged", False):
        view.is_paged, view.page_deviceid = True, moment.page_deviceid  # type: ignore[attr-defined]
    return view
