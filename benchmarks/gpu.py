"""The trainer on a real card: memory, speed and loss curves of every memory stack, VoxCPM 2's real sizes, random weights, 24 GB.

Usage:  python -m benchmarks.gpu [--minutes M] [--state FILE] [--steps N] [--cap-gib 24] [--only PART ...]
        python -m benchmarks.gpu --cpu-dry-run     the same code on a small model and the CPU: shows that it runs, measures nothing

Needs a checkout and its environment with a CUDA build of torch; no weights, no audio, no network, 6 GB of disk under --work.
Each part is a process of its own that runs the project's trainer on the recipe's settings and is written to the state file when
it is done; run the script again and it goes on with the next part, and tries again what failed. With --minutes it stops a part that
takes longer and prints what it has. The table comes last, so keep the end of the output.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

WARM_UP, CLIP_POSITIONS, CLIP_S, NUM_CLIPS, SEED = 3, 47, 7.5, 24, 1
TEXT = "A quiet road led to the town."  # 29 characters: as many tokens as 7.5 s of speech has
FASTER = {
    "learning_rate": 1e-4,
    "warmup_steps": WARM_UP,
}  # random weights: at the recipes' rates no curve would move
SMALL = {**FASTER, "activation_checkpointing": "all"}
PARTS: dict[
    str, tuple[str, dict[str, Any]]
] = {  # part -> shipped recipe, what is changed of its train section; most telling first
    "full, paged": ("voxcpm2-full", SMALL),
    "reference": ("voxcpm2-full-reference", FASTER),
    "lora": ("voxcpm2-lora", FASTER),
    "full, stochastic rounding": (
        "voxcpm2-full",
        {"weights": "bf16_stochastic", "optimizer": "adamw8bit", **SMALL},
    ),
    "full, exact master resident": ("voxcpm2-full", {"optimizer": "adamw8bit", **SMALL}),
    "full, as shipped": ("voxcpm2-full", FASTER),
    "lora, recomputed": ("voxcpm2-lora", SMALL),
}
AIMS_GB = {
    "full, paged": 16.0,
    "lora": 13.0,
    "lora, recomputed": 8.0,
    "full, as shipped": 18.5,
    "full, stochastic rounding": 16.0,
    "full, exact master resident": 18.5,
}


class Enough(Exception):
    """The steps that are measured are done; nothing is saved."""


def main() -> None:
    asked = arguments()
    if asked.part is not None:
        print(json.dumps(measure(asked)), flush=True)
        return
    if not asked.cpu_dry_run:
        require_cuda()
    state = begun(asked)
    deadline = time.monotonic() + 60 * asked.minutes
    prepare(asked.work, asked.cpu_dry_run)
    for name in asked.only or PARTS:
        if "step_s" in state.get(name, {}) or "out_of_memory" in state.get(name, {}):
            continue
        print(f"== {name}", file=sys.stderr, flush=True)
        found = apart(name, asked.work, deadline - time.monotonic())
        if found is None:
            print(f"out of time in {name}: run it again to go on", file=sys.stderr, flush=True)
            break
        state[name] = found
        write(asked.state, state)
    print(table(state))


def require_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise SystemExit(
            f"benchmarks.gpu: torch {torch.__version__} sees no CUDA device. Install a CUDA build of the pinned version, "
            "or see that the code runs: python -m benchmarks.gpu --cpu-dry-run"
        )


def begun(asked: argparse.Namespace) -> dict[str, Any]:
    """The state file, which holds parts of one commit, cap and number of steps."""
    made_with = {
        "commit": commit(),
        "cap_gib": asked.cap_gib,
        "steps": asked.steps,
        "dry_run": asked.cpu_dry_run,
    }
    state: dict[str, Any] = read(asked.state) or {"made_with": made_with}
    if state["made_with"] != made_with:
        raise SystemExit(
            f"benchmarks.gpu: {asked.state} was made with {state['made_with']}, this is {made_with}. "
            "Give another --state, or move that file away."
        )
    return state


def apart(name: str, work: Path, seconds: float) -> dict[str, Any] | None:
    """Run a part in a process of its own, its messages in a log under `work`; None where the time was not enough."""
    from voicelathe.process import child

    command = [sys.executable, "-m", "benchmarks.gpu", "--part", name, *sys.argv[1:]]
    environment = {**os.environ, **child.ON_CUDA}
    log = runs_of(work, name).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("wb") as file:
            done = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, stderr=file, timeout=seconds, check=False
            )
    except subprocess.TimeoutExpired:
        return None
    said, complaints = done.stdout.decode().strip().splitlines(), log.read_text(errors="replace").strip()
    if done.returncode or not said:
        print(complaints[-4000:], file=sys.stderr, flush=True)
        return {"failed": done.returncode, "message": "".join(complaints.splitlines()[-1:])}
    found: dict[str, Any] = json.loads(said[-1])
    return found


def runs_of(work: Path, name: str) -> Path:
    return work / "runs" / name.replace(", ", "-").replace(" ", "-")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--state", type=Path, default=Path("benchmarks/gpu.json"))
    parser.add_argument("--work", type=Path, default=Path(".cache/voicelathe/gpu"))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--cap-gib", type=float, default=24.0)
    parser.add_argument("--minutes", type=float, default=24 * 60.0)
    parser.add_argument("--only", nargs="*", choices=PARTS)
    parser.add_argument("--cpu-dry-run", action="store_true")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.work /= "dry" if asked.cpu_dry_run else "real"  # never one's base for the other
    return asked


def prepare(work: Path, dry_run: bool) -> None:
    """A base with random weights in the official format, and clips of 7.5 s with random encodings; once."""
    if (work / "ready").is_file():
        return
    import torch

    from tests.factories import voxcpm2_base
    from voicelathe import records
    from voicelathe.data.latents import cache
    from voicelathe.families.voxcpm.published import VOXCPM2

    voxcpm2_base.write(work / "base", None if dry_run else {**VOXCPM2, "device": "cpu", "dtype": "float32"})
    config = json.loads((work / "base/config.json").read_text())
    cached, clips = {}, []
    for number in range(NUM_CLIPS):
        name = f"clip{number:04d}"
        clips.append(
            records.CleanClip(
                clip_id=name, audio=f"{number}.wav", start_s=0.0, end_s=CLIP_S, text=TEXT, recording_id=f"r{number}", speaker_id="nobody",
                language="en", audio_sha256=f"{number:064d}", samples_sha256=f"{number:064d}", duration_s=CLIP_S, ref_audio=None,
            )
        )  # fmt: skip
        shape = (CLIP_POSITIONS, config["patch_size"], config["feat_dim"])
        encoding = torch.randn(shape, generator=torch.Generator().manual_seed(number)) * 0.3
        cached[name] = work / "cache" / f"{name}.safetensors"
        cache.store(cached[name], {"latents": encoding})
    records.write(work / "train.jsonl", clips)
    cache.bundle({"train": clips}, cached, work / "latents")
    (work / "ready").touch()


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """One part: the trainer's own loop until so many steps are done."""
    import torch

    from voicelathe.config import schema
    from voicelathe.process import jobs
    from voicelathe.train import loop

    torch.set_num_threads(1 if asked.cpu_dry_run else 8)
    device = "cpu" if asked.cpu_dry_run else "cuda"
    train = replace(train_settings(asked.part), probe_every=10**6)
    directory = runs_of(asked.work, asked.part)
    if not asked.cpu_dry_run:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, asked.cap_gib * 2**30 / total))
    empty(directory)
    target = jobs.Target(
        "voxcpm2", str(asked.work / "base"), "0" * 64, schema.Machine(device, torch.get_num_threads(), 1)
    )
    job = jobs.TrainJob(
        target=target, train=train, seed=SEED, clips=str(asked.work / "train.jsonl"), latents=str(asked.work / "latents"),
        audio_root=str(asked.work), run_digest="0" * 64, directory=str(directory),
    )  # fmt: skip
    last: dict[str, Any] = {}

    def emit(kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.PHASE:
            last.update(values)
        if kind == jobs.PROGRESS and values["done"] >= asked.steps:
            raise Enough

    try:
        loop.run(job, emit)
    except Enough:
        return outcome(asked, directory, device)
    except torch.OutOfMemoryError as problem:
        return {"out_of_memory": last, "message": str(problem).splitlines()[0]}
    raise AssertionError("the run ended before its steps were done")


def mode_of(part: str) -> str:
    return "lora" if "lora" in PARTS[part][0] else "full"


def train_settings(part: str) -> Any:
    """The train section of the part's recipe, as params.yaml would read it."""
    from voicelathe.config import params

    recipe, changes = PARTS[part]
    tree, fragment = params.read_yaml(params.FILE), params.read_yaml(Path(f"recipes/{recipe}.yaml"))
    tree["machine"]["device"] = "cuda"
    tree["bases"].update(fragment["bases"])
    fragment["recipes"][recipe]["train"].update(changes)
    tree["recipes"].update(fragment["recipes"])
    return params.check(tree, recipe).recipes[recipe].train


def outcome(asked: argparse.Namespace, directory: Path, device: str) -> dict[str, Any]:
    """What the journals and the device say after the last step."""
    import torch

    steps = [json.loads(line) for line in (directory / "steps.jsonl").read_text().splitlines()]
    timings = [json.loads(line) for line in (directory / "timings.jsonl").read_text().splitlines()]
    measured = sorted(one["seconds"] for one in timings[min(WARM_UP, len(timings) - 1) :])
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(0) if device == "cuda" else "cpu",
        "step_s": measured[len(measured) // 2],
        "losses": [round(one["total"], 6) for one in steps],
        "useful_tflop": useful_tflop(asked),
        "at": time.strftime("%Y-%m-%d"),
    }
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        found |= {
            "peak_allocated": torch.cuda.max_memory_allocated(),
            "peak_reserved": torch.cuda.max_memory_reserved(),
            "device_in_use": total - free,  # everything on the card, context and paged state included
        }
    else:
        found["peak_allocated"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return found


def useful_tflop(asked: argparse.Namespace) -> float:
    """Arithmetic of one step without recomputation, counted on tensors without memory; once for each mode, it takes half a minute."""
    alike = [
        one
        for name, one in read(asked.state).items()
        if name in PARTS and mode_of(name) == mode_of(asked.part)
    ]
    if known := [float(one["useful_tflop"]) for one in alike if "useful_tflop" in one]:
        return known[0]
    from voicelathe import records
    from voicelathe.process import jobs
    from voicelathe.worker import rehearse

    config = json.loads((asked.work / "base/config.json").read_text())
    train = replace(train_settings(asked.part), activation_checkpointing="none")
    job = jobs.RehearseJob("voxcpm2", config, None, train, SEED, CLIP_S, None, None, 1, True)
    found = records.from_json(records.Rehearsal, rehearse.run(job, lambda *_: None), "rehearsal")
    return found.flops / 1e12


COLUMNS = ("part", "peak allocated GB", "aim", "reserved GB", "card GB", "s a step", "times the reference", "useful MFU", "loss, first and last step", "furthest from the reference")  # fmt: skip


def table(state: dict[str, Any]) -> str:
    """Markdown for RESULTS.md: memory, speed against the reference, utilisation, and how far the loss curves are apart."""
    made, devices = (
        state["made_with"],
        sorted({str(state[n]["device"]) for n in PARTS if "device" in state.get(n, {})}),
    )
    lines = [
        f"commit {made['commit']}, {', '.join(devices) or 'no device yet'}, cap {made['cap_gib']} GiB, {made['steps']} steps of 8 clips of {CLIP_S} s"
    ]
    lines += (
        ["A dry run on a CPU with a small model: no number in it means anything."] if made["dry_run"] else []
    )
    lines += ["", f"| {' | '.join(COLUMNS)} |", f"|---|{'--:|' * (len(COLUMNS) - 1)}"]
    lines += [row(name, state.get(name), state.get("reference", {})) for name in PARTS]
    return "\n".join(lines)


def row(name: str, found: dict[str, Any] | None, reference: dict[str, Any]) -> str:
    """One line of the table."""
    from voicelathe.plan import cards

    if found is None or "step_s" not in found:
        why = "not run" if found is None else f"failed: {found.get('message')}"
        why = f"out of memory in {found['out_of_memory']}" if found and "out_of_memory" in found else why
        return f"| {name} | {why} {'| ' * (len(COLUMNS) - 2)}|"
    peak, *others = (
        f"{found[key] / 1e9:.2f}" if key in found else ""
        for key in ("peak_allocated", "peak_reserved", "device_in_use")
    )
    aim = f"{AIMS_GB[name]:g}" if name in AIMS_GB else ""
    speed = f"{reference['step_s'] / found['step_s']:.2f}" if "step_s" in reference else ""
    card = cards.named(found["device"])
    used = f"{100 * found['useful_tflop'] * 1e12 / found['step_s'] / card.half_flops:.1f} %" if card else ""
    curve = f"{found['losses'][0]:.4f}, {found['losses'][-1]:.4f}"
    far = f"{furthest(found['losses'], reference['losses']):.4f}" if "losses" in reference else ""
    cells = [name, peak, aim, *others, f"{found['step_s']:.3f}", speed, used, curve, far]
    return f"| {' | '.join(cells)} |"


def furthest(losses: list[float], reference: list[float]) -> float:
    """The largest difference of two loss curves at the same step, clips and noise."""
    return max(abs(one - other) for one, other in zip(losses, reference, strict=False))


def empty(directory: Path) -> None:
    """A part starts from nothing: its journals must not be resumed."""
    import shutil

    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def commit() -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def write(path: Path, state: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(state, indent=1) + "\n")
    partial.replace(path)


if __name__ == "__main__":
    main()
