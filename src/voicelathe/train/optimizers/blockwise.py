"""Optimizers with 8-bit moments around bitsandbytes' kernels, for fp32 weights and for bf16 weights with a master.

With `fused` and its kernel the only importer of bitsandbytes. A master exists only for the piece that is being updated: join, update, split, next piece.
"""

from typing import Any

import torch
from bitsandbytes import functional
from bitsandbytes.optim.optimizer import Optimizer1State, Optimizer2State
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake

from voicelathe.train import precision
from voicelathe.train.optimizers import fused
from voicelathe.train.optimizers.base import BLOCK, PAGED_FROM, Built, Piecewise

PIECE = (
    1 << 24
)  # values whose master exists at a time: 64 MB of it and 64 MB of gradient; a multiple of the kernels' block
FUSED = "adam", "bf16_split16"  # the kernel, and the weights, that `fused` is written for
NOT_FUSED = "The update in one kernel is not used on this card ({}). It goes on with bitsandbytes' kernels, which move four times the bytes."
LARGEST = 1 << 31  # values; places in `fused` are 32-bit


class _InPieces(Piecewise):
    """Decoupled weight decay, moments quantised in blocks of 256; parameters under 4,096 elements keep fp32 moments.

    `gradient_scale` (clipping without another pass over bf16 gradients) is unused with fp32 weights.
    """

    optimizer_name: str
    is_paged: bool
    param_groups: list[dict[str, Any]]
    state: Any
    page_mng: Any
    get_config: Any
    prefetch_state: Any

    def __init__(self, kernel: str, given: Built, paged: bool) -> None:
        super().__init__(  # type: ignore[call-arg]
            kernel, given.groups, lr=given.train.learning_rate, betas=given.betas, eps=given.train.eps, optim_bits=8, is_paged=paged
        )  # fmt: skip
        self.names, self.lows, self.weights, self.seed = (
            given.names,
            dict(given.lows),
            given.weights,
            given.seed,
        )
        self.gradient_scale, self.number, self.notice = 1.0, 0, None
        self._fused = self._in_one_kernel(kernel, given)
        self._scale = 1.0, torch.ones(1)
        self.places = {
            parameter: (group, place)
            for group, members in enumerate(self.param_groups)
            for place, parameter in enumerate(members["params"])
        }

    def _in_one_kernel(self, kernel: str, given: Built) -> Any:
        """The module that updates a parameter by one kernel: on a card where it proves itself, and where tensors are only counted.

        A run that must repeat does without, so that it does not depend on what the proof says next time.
        """
        if not (given.on_card and (kernel, given.weights) == FUSED) or given.train.deterministic:
            return None
        one = next(iter(given.names))
        if is_fake(one) or fused.interpreted():
            return fused
        if one.device.type != "cuda":
            return None
        if (problem := fused.problem(one.device, self.is_paged)) is not None:
            self.notice = NOT_FUSED.format(problem)
            return None
        return fused

    @property
    def is_fused(self) -> bool:
        return self._fused is not None

    def use_plain_kernels(self) -> None:
        self._fused = None

    @property
    def scales_itself(self) -> bool:
        """The kernels for fp32 weights take gradients as they are."""
        return self.weights != "fp32"

    @torch.no_grad()
    def init_state(self, group: Any, parameter: nn.Parameter, group_index: int, place: int) -> None:
        super().init_state(group, parameter, group_index, place)  # type: ignore[misc]
        if self.weights in precision.LOW_DTYPES:
            low = self.lows.pop(self.names[parameter], None)
            dtype = precision.LOW_DTYPES[self.weights]
            self.state[parameter]["low"] = (
                torch.zeros_like(parameter, dtype=dtype) if low is None else low.to(parameter.device)
            )

    @torch.no_grad()
    def update_step(self, group: Any, parameter: nn.Parameter, group_index: int, place: int) -> None:
        if self.weights == "fp32":
            super().update_step(group, parameter, group_index, place)  # type: ignore[misc]
            return
        state, config = self.state[parameter], self.get_config(group_index, place, group)
        state["step"] += 1
        assert parameter.is_contiguous() and parameter.grad is not None
        weight, gradient = parameter.data.view(-1), parameter.grad.reshape(-1)
        if self.is_fused and state["state1"].dtype == torch.uint8 and len(weight) < LARGEST:
            factors = self._fused.Factors.of(config, state["step"], self.gradient_scale)
            self._fused.update(weight, gradient, state, factors)
            return
        coins = None
        if (
            self.weights != "bf16_split16"
        ):  # nothing is rounded there, and a generator on the card costs a kernel
            name = self.names[parameter]
            coins = precision.rounding_generator(parameter.device, self.seed, self.number, name)
        for start in range(0, len(weight), PIECE):
            piece = slice(start, start + PIECE)
            low = state["low"].view(-1)[piece] if "low" in state else None
            master = weight[piece].float() if low is None else precision.join(weight[piece], low)
            self._update(master, self._scaled(gradient[piece]), state, config, piece)
            if low is None:
                assert coins is not None
                weight[piece] = precision.round_stochastically(master, coins)
            else:
                precision.split_into(master, weight[piece], low, coins)

    def _scaled(self, gradient: Tensor) -> Tensor:
        """In fp32, cast and scaled by one kernel: a tensor of a higher precision decides what the product is made in."""
        if self.gradient_scale == 1.0:
            return gradient.float()
        value, scale = self._scale
        if value != self.gradient_scale or scale.device != gradient.device:
            scale = torch.full((1,), self.gradient_scale, device=gradient.device)
            self._scale = self.gradient_scale, scale
        return gradient * scale

    def _update(
        self, master: Tensor, gradient: Tensor, state: dict[str, Any], config: dict[str, Any], piece: slice
    ) -> None:
        first = _view(state["state1"], piece)
        second = _view(state["state2"], piece) if "state2" in state else None
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
            config["lr"], state["qmap1"], state.get("qmap2"), state["absmax1"][blocks],
            None if second is None else state["absmax2"][blocks], config["weight_decay"],
        )  # fmt: skip

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Every parameter that has a gradient. Upstream's waits for the device after each; on one stream nothing has to.

        Paged moments may be read by the host as soon as this returns, so for them it waits once.
        """
        assert closure is None
        for parameter in self.places:
            if parameter.grad is not None:
                self._updated(parameter)
        if self.is_paged and next(iter(self.places)).device.type == "cuda":
            torch.cuda.synchronize()

    @torch.no_grad()
    def take(self, parameter: nn.Parameter) -> None:
        self._updated(parameter)
        parameter.grad = None

    def _updated(self, parameter: nn.Parameter) -> None:
        group_index, place = self.places[parameter]
        group = self.param_groups[group_index]
        if not self.state[parameter]:
            self.init_state(group, parameter, group_index, place)
        self.prefetch_state(parameter)
        self.update_step(group, parameter, group_index, place)

    def restored(self, parameter: nn.Parameter, key: str, tensor: Tensor) -> Any:
        """Moments that bitsandbytes pages are paged again: its own `load_state_dict` would leave them resident on the card."""
        if key == "step":
            return int(tensor)
        pageable = self.is_paged and parameter.device.type == "cuda" and key in ("state1", "state2")
        if pageable and parameter.numel() >= PAGED_FROM:
            paged: Tensor = functional.get_paged(*tensor.shape, dtype=tensor.dtype, device=parameter.device)
            paged.copy_(tensor)
            self.page_mng.paged_tensors.append(paged)
            assert getattr(paged, "is_paged", False)
            return paged
        return tensor.to(parameter.device, copy=True)


class _OneMoment(_InPieces, Optimizer1State):  # type: ignore[misc]
    """A kernel that remembers one number a value."""


class _TwoMoments(_InPieces, Optimizer2State):  # type: ignore[misc]
    """A kernel that remembers two numbers a value."""


def of_one_moment(kernel: str, given: Built, paged: bool) -> torch.optim.Optimizer:
    """An optimizer of bitsandbytes with one moment, by the name of its kernel."""
    made: torch.optim.Optimizer = _OneMoment(kernel, given, paged)
    return made


def of_two_moments(kernel: str, given: Built, paged: bool) -> torch.optim.Optimizer:
    """An optimizer of bitsandbytes with two moments, by the name of its kernel."""
    made: torch.optim.Optimizer = _TwoMoments(kernel, given, paged)
    return made


def _view(moment: Tensor, piece: slice) -> Tensor:
    """A piece of a moment; what makes a paged tensor usable on the GPU are Python attributes, which views do not inherit."""
    view = moment.view(-1)[piece]
    if getattr(moment, "is_paged", False):
        view.is_paged, view.page_deviceid = True, moment.page_deviceid  # type: ignore[attr-defined]
    return view
