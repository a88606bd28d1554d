"""Training on the embedded base with random encodings: what is updated, what is kept, what is refused, and exact resume."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.factories import training
from voicelathe import checkpoints, digest, families, records
from voicelathe.config import schema
from voicelathe.errors import CheckpointError, WorkerError
from voicelathe.families.voxcpm import losses
from voicelathe.process import jobs
from voicelathe.train import loop, memory, optimizers, resume


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.corpus(tmp_path_factory.mktemp("corpus"))


def quiet(_kind: str, _values: dict[str, Any]) -> None:
    pass


def killed_at_step_4(job: jobs.TrainJob) -> jobs.TrainJob:
    """The same job, a run of which was killed in the backward pass of step 4."""

    def die(kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.PHASE and values["name"] == "backward" and values["step"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.run(job, die)
    return job


def final_state(directory: Path) -> str:
    """sha256 over every checkpoint, the last resume state and the step log."""
    sha = hashlib.sha256((directory / "steps.jsonl").read_bytes())
    for manifest in sorted(directory.glob("st*_*/MANIFEST.json")):
        sha.update(manifest.relative_to(directory).as_posix().encode() + manifest.read_bytes())
    return sha.hexdigest()


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_every_numbered_checkpoint_is_kept_and_verifies(corpus: Path, tmp_path: Path, mode: str) -> None:
    train = training.train_settings(
        mode, steps=5, every=2, optimizer="paged_adamw8bit" if mode == "full" else "adamw"
    )
    counts = loop.run(training.train_job(corpus, tmp_path / "run", train), quiet)
    kept = sorted(path.name for path in (tmp_path / "run").glob("step_*"))
    assert kept == ["step_0000002", "step_0000004", "step_0000005"]
    for name in kept:
        checkpoints.verify(tmp_path / "run" / name)
    assert len(list((tmp_path / "run").glob("state_*"))) == 1
    assert 0 < counts["num_trainable"] <= counts["num_parameters"]


def test_weights_move_and_the_loss_falls_on_clips_seen_again_and_again(corpus: Path, tmp_path: Path) -> None:
    train = replace(training.train_settings("full", steps=40, every=40), learning_rate=0.003)
    loop.run(training.train_job(corpus, tmp_path / "run", train), quiet)
    steps = records.read(tmp_path / "run" / "steps.jsonl", records.StepRecord)
    assert [step.step for step in steps] == list(range(1, 41))
    first, last = (sum(step.total for step in part) / 8 for part in (steps[:8], steps[-8:]))
    assert last < 0.9 * first
    base = load_file(training.BASE / "model.safetensors")
    trained = load_file(tmp_path / "run" / "step_0000040" / "model.safetensors")
    assert set(base) == set(trained)
    moved = [name for name in base if not torch.equal(base[name], trained[name])]
    assert len(moved) > 0.95 * len(base)


def test_lora_leaves_the_base_alone_and_upstream_loads_the_adapter(corpus: Path, tmp_path: Path) -> None:
    from voxcpm.model.voxcpm2 import LoRAConfig, VoxCPM2Model

    loop.run(
        training.train_job(corpus, tmp_path / "run", training.train_settings("lora", steps=3, every=3)), quiet
    )
    directory = tmp_path / "run" / "step_0000003"
    stored = json.loads((directory / "lora_config.json").read_text())["lora_config"]
    model = VoxCPM2Model.from_local(
        str(training.BASE), optimize=False, training=True, device="cpu", lora_config=LoRAConfig(**stored)
    )
    loaded, skipped = model.load_lora_weights(str(directory))
    own = [name for name, _ in model.named_parameters() if "lora_" in name]
    assert skipped == [] and sorted(loaded) == sorted(own)
    assert any(
        float(parameter.abs().sum()) > 0 for name, parameter in model.named_parameters() if "lora_B" in name
    )


def test_a_full_checkpoint_is_a_directory_that_upstream_opens(corpus: Path, tmp_path: Path) -> None:
    from voxcpm.model.voxcpm2 import VoxCPM2Model

    loop.run(
        training.train_job(corpus, tmp_path / "run", training.train_settings("full", steps=2, every=2)), quiet
    )
    directory = tmp_path / "run" / "step_0000002"
    model = VoxCPM2Model.from_local(str(directory), optimize=False, device="cpu")
    weights = load_file(directory / "model.safetensors")
    assert all(torch.equal(model.state_dict()[name], tensor.float()) for name, tensor in weights.items())
    assert (directory / "audiovae.safetensors").stat().st_ino == (
        training.BASE / "audiovae.safetensors"
    ).stat().st_ino


def test_two_passes_of_two_clips_are_one_pass_of_four(corpus: Path, tmp_path: Path) -> None:
    train = replace(training.train_settings("full", steps=2, every=2))
    loop.run(training.train_job(corpus, tmp_path / "two", train), quiet)
    loop.run(training.train_job(corpus, tmp_path / "one", replace(train, clips_per_pass=4)), quiet)
    two, one = (records.read(tmp_path / name / "steps.jsonl", records.StepRecord) for name in ("two", "one"))
    assert [step.clip_ids for step in two] == [step.clip_ids for step in one]
    assert [step.total for step in two] == pytest.approx([step.total for step in one], rel=1e-5)
    assert [step.grad_norm for step in two] == pytest.approx([step.grad_norm for step in one], rel=1e-4)


@pytest.mark.parametrize("mode, which", [("lora", "all"), ("full", "decoder"), ("full", "all")])
def test_recomputing_activations_changes_no_loss(corpus: Path, tmp_path: Path, mode: str, which: str) -> None:
    train = training.train_settings(mode, steps=3, every=3)
    loop.run(training.train_job(corpus, tmp_path / "off", train), quiet)
    loop.run(
        training.train_job(corpus, tmp_path / "on", replace(train, activation_checkpointing=which)), quiet
    )
    off, on = (records.read(tmp_path / name / "steps.jsonl", records.StepRecord) for name in ("off", "on"))
    assert [step.total for step in off] == pytest.approx([step.total for step in on], rel=1e-6)


def test_a_cached_encoder_changes_no_loss_and_runs_once_for_each_clip(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = training.train_settings("lora", steps=4, every=4)
    loop.run(training.train_job(corpus, tmp_path / "off", train), quiet)
    seen, encoded = [], losses.encoded

    def counted(*given: Any) -> Any:
        seen.append(given[1])
        return encoded(*given)

    monkeypatch.setattr(losses, "encoded", counted)
    loop.run(training.train_job(corpus, tmp_path / "on", replace(train, cache_encoder=True)), quiet)
    off, on = (records.read(tmp_path / name / "steps.jsonl", records.StepRecord) for name in ("off", "on"))
    assert [step.total for step in off] == pytest.approx([step.total for step in on], rel=1e-6)
    assert [step.grad_norm for step in off] == pytest.approx([step.grad_norm for step in on], rel=1e-5)
    assert on[0].probe == pytest.approx(off[0].probe, rel=1e-4)
    assert len(seen) == 12, "twelve clips, four steps and two probes"


QUICK = [("full", "paged_adamw8bit", "bf16_split8")]
STACKS = [  # every optimizer of the table, with every kind of weights that it can update
    *((mode, name, "fp32") for mode in ("lora", "full") for name in optimizers.TABLE),
    ("lora", "adamw", "bf16"),
    *(("full", name, weights) for name in optimizers.of_bf16() for weights in ("bf16_split16", "bf16_split8", "bf16_stochastic")),
]  # fmt: skip


class Killed(BaseException):
    """Ends a run from outside, as a signal would."""


@pytest.mark.parametrize(
    "mode, optimizer, weights",
    [stack if stack in QUICK else pytest.param(*stack, marks=pytest.mark.slow) for stack in STACKS],
)
def test_a_run_that_was_interrupted_anywhere_ends_with_identical_bytes(
    corpus: Path, tmp_path: Path, mode: str, optimizer: str, weights: str
) -> None:
    train = training.train_settings(mode, steps=5, every=2, optimizer=optimizer, weights=weights)
    train = replace(train, cache_encoder=weights == "bf16")
    loop.run(training.train_job(corpus, tmp_path / "whole", train), quiet)
    phases = [
        ("forward", 1),
        ("optimizer", 2),
        ("checkpoint", 2),
        ("backward", 3),
        ("checkpoint", 4),
        ("forward", 5),
        ("checkpoint", 5),
    ]
    for phase in phases:

        def kill(kind: str, values: dict[str, Any], at: tuple[str, int] = phase) -> None:
            if kind == jobs.PHASE and (values["name"], values["step"]) == at:
                raise Killed

        with pytest.raises(Killed):
            loop.run(training.train_job(corpus, tmp_path / "killed", train), kill)
    loop.run(training.train_job(corpus, tmp_path / "killed", train), quiet)
    assert final_state(tmp_path / "killed") == final_state(tmp_path / "whole")


def test_the_time_that_a_listener_takes_is_told_with_the_next_step(corpus: Path, tmp_path: Path) -> None:
    told: list[float] = []

    def slow(kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.PROGRESS:
            told.append(values["waited_s"])
            time.sleep(0.2)

    train = training.train_settings("lora", steps=2, every=2)
    loop.run(training.train_job(corpus, tmp_path / "run", train), slow)
    assert told[1] - told[0] >= 0.2


@pytest.mark.slow
def test_sigkill_of_a_real_worker_and_another_start_end_with_identical_bytes(
    corpus: Path, tmp_path: Path
) -> None:
    train = training.train_settings("lora", steps=20, every=5)
    loop.run(training.train_job(corpus, tmp_path / "whole", train), quiet)
    job = training.train_job(corpus, tmp_path / "killed", train)
    digest.write_json(tmp_path / "job.json", {"verb": "train", "job": records.to_json(job)})
    command = [sys.executable, "-m", "voicelathe.worker", str(tmp_path / "job.json")]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert worker.stdout is not None
    for line in worker.stdout:
        event = jobs.decode(line)
        if event.kind == jobs.PHASE and event.values["step"] >= 13:
            os.kill(worker.pid, signal.SIGKILL)
            break
    assert worker.wait() == -signal.SIGKILL
    assert (
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
        == 0
    )
    assert final_state(tmp_path / "killed") == final_state(tmp_path / "whole")


@pytest.mark.slow
def test_sigterm_saves_at_the_step_boundary_and_exits_143(corpus: Path, tmp_path: Path) -> None:
    job = training.train_job(corpus, tmp_path / "run", training.train_settings("lora", steps=400, every=400))
    digest.write_json(tmp_path / "job.json", {"verb": "train", "job": records.to_json(job)})
    command = [sys.executable, "-m", "voicelathe.worker", str(tmp_path / "job.json")]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert worker.stdout is not None
    for line in worker.stdout:
        event = jobs.decode(line)
        if event.kind == jobs.PHASE and event.values["step"] == 3:
            worker.send_signal(signal.SIGTERM)
            break
    worker.stdout.read()
    assert worker.wait() == loop.STOPPED
    (state,) = (tmp_path / "run").glob("state_*")
    checkpoints.verify(state)
    lines = (tmp_path / "run" / "steps.jsonl").read_bytes().splitlines()
    assert resume.digest_step(lines[-1]) == int(state.name.removeprefix("state_")) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_in_a_terminal_which_the_worker_gets_as_well_saves_at_the_step_boundary(
    corpus: Path, tmp_path: Path, processes: int
) -> None:
    job = training.train_job(corpus, tmp_path / "run", training.train_settings("lora", steps=400, every=400))
    job = replace(job, target=replace(job.target, machine=schema.Machine("cpu", 1, processes)))
    digest.write_json(tmp_path / "job.json", records.to_json(job))
    stage = (
        "import signal, sys\nfrom pathlib import Path\nfrom voicelathe import digest, records; from voicelathe.process import jobs, runner\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background deaf to it\n"
        "job = records.from_json(jobs.TrainJob, digest.read_json(Path(sys.argv[1])), 'job')\nrunner.run(job, 'test')\n"
    )
    command = [sys.executable, "-c", stage, str(tmp_path / "job.json")]
    parent = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
    journal = tmp_path / "run" / "steps.jsonl"
    while not journal.is_file() or len(journal.read_bytes().splitlines()) < 3:
        assert parent.poll() is None
        time.sleep(0.05)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait() != 0
    (state,) = (tmp_path / "run").glob("state_*")
    checkpoints.verify(state)
    assert resume.digest_step(journal.read_bytes().splitlines()[-1]) == int(state.name.removeprefix("state_"))


def test_a_second_sigterm_does_not_prevent_the_save(corpus: Path, tmp_path: Path) -> None:
    """A killed parent with several threads sends the death signal more than once."""
    before = signal.getsignal(signal.SIGTERM)

    def kill_twice(kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.PHASE and values["step"] == 2 and values["name"] in ("forward", "backward"):
            os.kill(os.getpid(), signal.SIGTERM)

    job = training.train_job(corpus, tmp_path / "run", training.train_settings("lora", steps=4, every=4))
    try:
        with pytest.raises(SystemExit) as left:
            loop.run(job, kill_twice)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert left.value.code == loop.STOPPED
    assert [state.name for state in (tmp_path / "run").glob("state_*")] == ["state_0000002"]


def test_a_clip_that_is_not_a_number_stops_the_run_by_name_before_any_update(
    corpus: Path, tmp_path: Path
) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(corpus, root)
    clips = records.read(root / "train.jsonl", records.CleanClip)
    from voicelathe.data.latents import cache

    cached = {clip.clip_id: root / "cache" / f"{clip.clip_id}.safetensors" for clip in clips}
    poisoned = clips[5].clip_id
    cache.store(cached[poisoned], {"latents": torch.full((5, 4, 32), float("nan"))})
    cache.bundle({"train": clips}, cached, root / "latents")
    with pytest.raises(WorkerError, match=f"loss of clip {poisoned} is not finite"):
        loop.run(
            training.train_job(root, tmp_path / "run", training.train_settings("lora", steps=6, every=6)),
            quiet,
        )


def test_a_damaged_state_is_set_aside_and_the_run_refuses_to_start_over(corpus: Path, tmp_path: Path) -> None:
    train = training.train_settings("lora", steps=4, every=2)
    job = training.train_job(corpus, tmp_path / "run", train)
    loop.run(job, quiet)
    state = tmp_path / "run" / "state_0000004" / "parameters.safetensors"
    data = bytearray(state.read_bytes())
    data[-1] ^= 1
    state.write_bytes(data)
    with pytest.raises(CheckpointError, match="no state to resume from"):
        loop.run(job, quiet)
    assert (tmp_path / "run" / "quarantine" / "state_0000004.0").is_dir()


def test_a_run_that_died_before_its_first_state_makes_the_same_checkpoint_again(
    corpus: Path, tmp_path: Path
) -> None:
    job = training.train_job(corpus, tmp_path / "run", training.train_settings("lora", steps=2, every=2))
    loop.run(job, quiet)
    before = final_state(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "state_0000002")
    loop.run(job, quiet)
    assert final_state(tmp_path / "run") == before


def test_a_run_that_starts_over_beside_promoted_checkpoints_makes_them_again_and_leaves_them(
    corpus: Path, tmp_path: Path
) -> None:
    """`voicelathe retrain` leaves in their place what production speaks with."""
    job = training.train_job(corpus, tmp_path / "run", training.train_settings("lora", steps=3, every=1))
    loop.run(job, quiet)
    before = final_state(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "aside")
    for name in ("step_0000001", "step_0000002"):
        shutil.copytree(tmp_path / "aside" / name, tmp_path / "run" / name)
    inode = (tmp_path / "run/step_0000002/MANIFEST.json").stat().st_ino
    with pytest.raises(CheckpointError, match="no state to resume from"):
        loop.run(job, quiet)
    digest.write_json(tmp_path / "run" / checkpoints.KEPT, ["step_0000001", "step_0000002"])
    loop.run(job, quiet)
    assert final_state(tmp_path / "run") == before
    assert (tmp_path / "run/step_0000002/MANIFEST.json").stat().st_ino == inode


def test_a_run_whose_promoted_checkpoint_comes_out_differently_stops_and_leaves_it(
    corpus: Path, tmp_path: Path
) -> None:
    """What another card or library would do: here the kept weights are those of another seed."""
    train = training.train_settings("lora", steps=3, every=1)
    other = replace(training.train_job(corpus, tmp_path / "other", train), seed=4711)
    loop.run(other, quiet)
    kept = tmp_path / "run/step_0000002"
    shutil.copytree(tmp_path / "other/step_0000002", kept)
    digest.write_json(tmp_path / "run" / checkpoints.KEPT, [kept.name])
    before, born = digest.of_tree(kept), (kept / "MANIFEST.json").stat().st_ino
    with pytest.raises(CheckpointError, match="comes out differently"):
        loop.run(training.train_job(corpus, tmp_path / "run", train), quiet)
    assert digest.of_tree(kept) == before and (kept / "MANIFEST.json").stat().st_ino == born


def test_weight_decay_falls_on_the_weights_of_linear_layers_only() -> None:
    family = families.find("voxcpm2")
    facts = family.describe(training.BASE, "", False)
    model = family.open_model(training.BASE, facts, training.target().machine)
    plan = model.trainable("full")
    decayed = {
        id(p)
        for group in memory.optimizer(
            training.train_settings("full"), model.core, plan.trainable, {}, seed=1
        ).param_groups
        if group["weight_decay"]
        for p in group["params"]
    }
    names = {name for name, parameter in plan.trainable.items() if id(parameter) in decayed}
    assert not [name for name in names if "norm" in name or name.endswith("bias") or "special_token" in name]
    assert not [name for name in names if "embed" in name]
    assert "base_lm.layers.0.self_attn.q_proj.weight" in names


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    (newest,) = sorted(directory.glob("step_*"))[-1:]
    return load_file(newest / "model.safetensors")


def test_released_gradients_give_the_same_weights_as_gradients_that_stay(
    corpus: Path, tmp_path: Path
) -> None:
    train = training.train_settings("full", steps=2, every=2, optimizer="adamw8bit", weights="bf16_split16")
    train = replace(train, clips_per_pass=4, max_grad_norm=None, activation_checkpointing="all")
    loop.run(training.train_job(corpus, tmp_path / "stay", train), quiet)
    held = []

    def watch(kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.PHASE and values["name"] == "optimizer":
            held.append(sum(p.grad is not None for p in trained))

    trained: list[torch.nn.Parameter] = []
    release = memory.release_gradients

    def memory_release(optimizer: torch.optim.Optimizer, parameters: dict[str, torch.nn.Parameter]) -> Any:
        trained.extend(parameters.values())
        return release(optimizer, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "release_gradients", memory_release)
        loop.run(
            training.train_job(corpus, tmp_path / "released", replace(train, gradient_release=True)), watch
        )
    assert held == [0, 0], "no gradient is left when backward is over"
    stay, released = weights_of(tmp_path / "stay"), weights_of(tmp_path / "released")
    assert all(torch.equal(tensor, released[name]) for name, tensor in stay.items())
    one, two = (records.read(tmp_path / n / "steps.jsonl", records.StepRecord) for n in ("stay", "released"))
    assert [step.grad_norm for step in one] == [step.grad_norm for step in two]


def test_the_norms_of_the_parts_make_up_the_norm_of_the_whole(corpus: Path, tmp_path: Path) -> None:
    loop.run(
        training.train_job(corpus, tmp_path / "run", training.train_settings("full", steps=1, every=1)), quiet
    )
    (step,) = records.read(tmp_path / "run" / "steps.jsonl", records.StepRecord)
    assert set(step.part_norms) == {"lm", "residual", "encoder", "dit", "stop"}
    assert min(step.part_norms.values()) > 0
    assert sum(norm**2 for norm in step.part_norms.values()) == pytest.approx(step.grad_norm**2)


@pytest.mark.parametrize("mode, weights", [("full", "bf16_stochastic"), ("lora", "bf16")])
def test_bf16_weights_train_near_fp32_and_keep_their_checkpoints(
    corpus: Path, tmp_path: Path, mode: str, weights: str
) -> None:
    exact = training.train_settings(mode, steps=3, every=3, optimizer="adamw8bit")
    exact = replace(exact, learning_rate=1e-3)
    for name, train in (("fp32", exact), ("bf16", replace(exact, weights=weights))):
        loop.run(training.train_job(corpus, tmp_path / name, train), quiet)
    one, two = (records.read(tmp_path / n / "steps.jsonl", records.StepRecord) for n in ("fp32", "bf16"))
    assert [step.total for step in two] == pytest.approx([step.total for step in one], rel=0.03)
    if mode == "full":
        state = load_file(tmp_path / "bf16" / "state_0000003" / "parameters.safetensors")
        kept = weights_of(tmp_path / "bf16")
        assert all(torch.equal(tensor, kept[name]) for name, tensor in state.items())


def test_a_clip_meets_new_noise_at_every_step(corpus: Path, tmp_path: Path) -> None:
    train = replace(
        training.train_settings("full", steps=2, every=2),
        learning_rate=1e-12,
        clips_per_step=12,
        clips_per_pass=12,
    )
    loop.run(training.train_job(corpus, tmp_path / "run", train), quiet)
    first, second = records.read(tmp_path / "run" / "steps.jsonl", records.StepRecord)
    assert sorted(first.clip_ids) == sorted(second.clip_ids)
    assert abs(first.total - second.total) > 1e-4
