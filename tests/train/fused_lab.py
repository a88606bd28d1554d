"""A process in which Triton runs kernels on the CPU: the update in one kernel beside bitsandbytes', from the same start.

Prints JSON. `TRITON_INTERPRET=1 python -m tests.train.fused_lab`; Triton reads that where a kernel is defined, so it is a process of its own.
"""

import json
from typing import Any

import torch
from torch import Tensor, nn

from tests.factories import training
from voicelathe.train import memory, precision
from voicelathe.train.optimizers import fused

STEPS = 4
RATE = 1e-3
SMALL = "1.bias"  # keeps fp32 moments, so no kernel of ours is asked


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(71, 60), nn.Linear(60, 16))  # 4,260 values: the last block is not full


def run(optimizer: str, on_card: bool, take: bool = False, resume: bool = False) -> dict[str, list[Tensor]]:
    """Every tensor of weights and state after each step; masters in place of weights that have one."""
    model = layers()
    trained = dict(model.named_parameters())
    train = training.train_settings("full", optimizer=optimizer, weights="bf16_split16")
    lows = precision.narrow(model, "bf16_split16", trained)
    made: Any = memory.optimizer(train, model, trained, lows, seed=1, on_card=on_card)
    assert (made._fused is not None) is on_card
    ends: dict[str, list[Tensor]] = {}
    for step in range(1, STEPS + 1):
        if resume and step == 3:
            state = {key: value.clone() for key, value in memory.state(made, trained).items()}
            made = memory.optimizer(train, model, trained, {}, seed=1, on_card=on_card)
            memory.restore(made, trained, state)
        memory.prepare(made, step, RATE)
        made.gradient_scale = 0.5
        for number, parameter in enumerate(trained.values()):
            draw = torch.Generator().manual_seed(10 * step + number)
            parameter.grad = (torch.randn(parameter.shape, generator=draw) * 1e-3).to(parameter.dtype)
        if take:
            for parameter in trained.values():
                made.take(parameter)
        else:
            made.step()
        for name, parameter in trained.items():
            master = precision.join(parameter.data, made.state[parameter]["low"])
            ends.setdefault(name, []).append(master.clone())
        for key, value in memory.state(made, trained).items():
            ends.setdefault(key, []).append(value.clone())
    return ends


def equal(one: dict[str, list[Tensor]], other: dict[str, list[Tensor]]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(mine, yours) for key, all_of in one.items() for mine, yours in zip(all_of, other[key], strict=True)
    )  # fmt: skip


def main() -> None:
    used, plain = [], fused.update
    fused.update = lambda *given: (used.append(given[0].numel()), plain(*given))[1]
    ours = run("adamw8bit", True)
    fused.update = plain
    theirs = run("adamw8bit", False)
    masters = [key for key in ours if "::" not in key]
    off = [
        max(float((a - b).abs().max()) for a, b in zip(ours[key], theirs[key], strict=True))
        for key in masters
    ]
    first = max(float((ours[key][0] - theirs[key][0]).abs().max()) for key in masters)
    moved = float((theirs["0.weight"][-1] - theirs["0.weight"][0]).abs().mean())
    print(json.dumps({
        "proof": fused.problem(torch.device("cpu"), paged=False),
        "first": first / RATE, "off": max(off) / RATE, "moved": moved / RATE,
        "mean_off": float((ours["0.weight"][-1] - theirs["0.weight"][-1]).abs().mean()) / RATE,
        "small_alike": all(torch.equal(a, b) for a, b in zip(ours[SMALL], theirs[SMALL], strict=True)),
        "apart": training.codes_apart({key: value[0] for key, value in ours.items()}, {key: value[0] for key, value in theirs.items()}),
        "again": equal(ours, run("adamw8bit", True)), "used": len(used),
        "released": equal(ours, run("adamw8bit", True, take=True)), "resumed": equal(ours, run("adamw8bit", True, resume=True)),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
