"""The loop that trains a part of the base in short pieces: killed at any moment, it goes on from the last save.

Everything random is a function of the seed and the step, so a resumed training makes the same steps as one that was never stopped.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

TELL_EVERY, SAVE_EVERY_S = 25, 120


@dataclass(frozen=True)
class Plan:
    """How long and how fast."""

    steps: int
    minutes: float  # of CPU time in this call
    rate: float
    warmup: int
    weight_decay: float
    weights: Mapping[str, float]  # of the losses
    ends: tuple[
        int, ...
    ] = ()  # of the rounds before the last one: the steps after which the rate starts over

    def rate_at(self, step: int) -> float:
        """Linear warm-up, then down in a straight line to a fiftieth; in each further round once more, from two thirds of the rate."""
        ends = (0, *(end for end in self.ends if end < self.steps), self.steps)
        number = next(at for at in range(1, len(ends)) if step <= ends[at] or at == len(ends) - 1)
        step, length = step - ends[number - 1], ends[number] - ends[number - 1]
        rate = self.rate if number == 1 else self.rate * 2 / 3
        return rate * min(1.0, step / self.warmup) * max(0.02, 1 - step / length)


def train(
    file: Path, modules: Mapping[str, nn.Module], plan: Plan, losses_of: Callable[[int], dict[str, Tensor]]
) -> bool:
    """Train `modules` on from `file` (*.safetensors) for at most plan.minutes; True when all steps are done. The log lies beside it."""
    parameters = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, plan.rate, betas=(0.9, 0.98), weight_decay=plan.weight_decay)
    done = restore(file, modules, optimizer)
    began, saved, seen = time.process_time(), time.monotonic(), []
    for step in range(done + 1, plan.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate_at(step)
        losses = losses_of(step)
        optimizer.zero_grad(set_to_none=True)
        torch.stack([plan.weights[name] * loss for name, loss in losses.items()]).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        seen.append({name: float(loss.detach()) for name, loss in losses.items()})
        spent = time.process_time() - began
        if step % TELL_EVERY == 0:
            means = {name: sum(one[name] for one in seen) / len(seen) for name in plan.weights}
            tell(file, step, means, spent)
            seen.clear()
        over = spent > 60 * plan.minutes
        if over or step == plan.steps or time.monotonic() - saved > SAVE_EVERY_S:
            save(file, step, modules, optimizer)
            saved = time.monotonic()
        if over:
            return step == plan.steps
    return True


def save(file: Path, step: int, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> None:
    """Weights as `module/name`, the optimizer's state as `optimizer/parameter/name`, the step in the header; no pickle."""
    tensors = {
        f"{name}/{key}": t.contiguous()
        for name, module in modules.items()
        for key, t in module.state_dict().items()
    }
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{key}": t for key, t in state.items()}
    part = file.with_suffix(".partial")
    save_file(tensors, part, {"step": str(step)})
    part.replace(file)


def weights(file: Path, name: str) -> dict[str, Tensor]:
    """What `save` kept of a module. Raises SystemExit when it was never trained."""
    if not file.is_file():
        raise SystemExit(
            f"{file} is missing: nothing is trained yet. Train first: python -m pretrain {file.parent}"
        )
    return {
        key.removeprefix(f"{name}/"): t for key, t in load_file(file).items() if key.startswith(f"{name}/")
    }


def restore(file: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> int:
    """The step that was saved; 0 when there is nothing."""
    if not file.is_file():
        return 0
    for name, module in modules.items():
        module.load_state_dict(weights(file, name))
    state: dict[int, dict[str, Tensor]] = {}
    for key, t in weights(file, "optimizer").items():
        number, _, name = key.partition("/")
        state.setdefault(int(number), {})[name] = t
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    with safe_open(file, framework="pt") as stored:
        return int(stored.metadata()["step"])


def tell(file: Path, step: int, means: dict[str, float], cpu_s: float) -> None:
    rounded = {name: round(value, 4) for name, value in means.items()}
    line = json.dumps({"step": step, **rounded, "cpu_s": round(cpu_s)})
    print(f"{file.stem} {line}", flush=True)
    with file.with_suffix(".jsonl").open("a", encoding="utf-8") as log:
        log.write(line + "\n")
