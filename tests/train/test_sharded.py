"""Processes that hold one model together train as one does: losses, weights, state, and what a kill leaves."""

import os
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.factories import training
from tests.train import kill_lab, node_lab
from tests.train.test_loop import final_state
from tests.train.test_peers import local_of_a_caller, shared, steps_of, together
from voicelathe import checkpoints, digest, families, records
from voicelathe.config import params, schema
from voicelathe.errors import ParamsError
from voicelathe.families.shared import layers
from voicelathe.process import jobs, runner
from voicelathe.train import distributed, footprint, loop, resume
from voicelathe.train.sharded import sizes, states
from voicelathe.train.sharded.pieces import Pieces

BOTH = [0, 0]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return training.corpus(tmp_path_factory.mktemp("corpus"))


def settings(**changes: Any) -> Any:
    """Six steps of 8 clips, two passes a process, of which the first steps are clipped."""
    train = training.train_settings("full", steps=6, every=3)
    plain = replace(train, clips_per_step=8, learning_rate=1e-3, max_grad_norm=0.5)
    return replace(plain, shard=True, **changes)


def ended(job: jobs.TrainJob, log: Path, emit: Any = lambda *_: None) -> None:
    assert together(job, log, emit) == BOTH, log.read_text()[-3000:]


def weights(directory: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(directory / f"step_{step:07d}" / "model.safetensors")


@pytest.mark.parametrize("recompute", ["none", pytest.param("all", marks=pytest.mark.slow)])
def test_two_processes_that_share_the_weights_have_the_losses_of_one(
    corpus: Path, tmp_path: Path, recompute: str
) -> None:
    """Within 1e-6 in fp32, over steps that are clipped and passes of different lengths; and the checkpoint is as wide."""
    train = settings(activation_checkpointing=recompute)
    loop.run(training.train_job(corpus, tmp_path / "one", replace(train, shard=False)), lambda *_: None)
    ended(shared(corpus, tmp_path / "two", train), tmp_path / "log")
    one, two = steps_of(tmp_path / "one"), steps_of(tmp_path / "two")
    assert len(one) == len(two) == 6
    assert one[0].losses == two[0].losses, "the same passes, so the same losses until weights differ"
    assert all(step.grad_norm > 0.5 for step in one), "every step is clipped"
    for alone, joint in zip(one, two, strict=True):
        assert alone.clip_ids == joint.clip_ids
        assert joint.total == pytest.approx(alone.total, rel=1e-6)
        assert joint.grad_norm == pytest.approx(alone.grad_norm, rel=1e-6)
        assert joint.part_norms == pytest.approx(alone.part_norms, rel=1e-6)
    assert one[2].probe == pytest.approx(two[2].probe, abs=1e-6)
    single, parts = weights(tmp_path / "one", 6), weights(tmp_path / "two", 6)
    assert {n: (t.shape, t.dtype) for n, t in single.items()} == {
        n: (t.shape, t.dtype) for n, t in parts.items()
    }
    one_fp32, two_fp32 = (
        load_file(tmp_path / "one" / "state_0000006" / "parameters.safetensors"),
        joined(tmp_path / "two", 6),
    )
    worst = max(float((one_fp32[name] - two_fp32[name]).abs().max()) for name in one_fp32)
    assert worst < 1e-6, worst


def joined(directory: Path, step: int, count: int = 2) -> dict[str, torch.Tensor]:
    """The state of all processes, as one that is in no pieces has it: rows behind rows."""
    state = directory / f"state_{step:07d}"
    parts = [load_file(state / f"rank-{rank}-of-{count}.safetensors") for rank in range(count)]
    assert all(set(part) <= set(parts[0]) for part in parts), (
        "where no row of a parameter lies there is no moment"
    )
    return {
        name: first if first.ndim == 0 else torch.cat([part[name] for part in parts if name in part])
        for name, first in parts[0].items()
    }


@pytest.mark.parametrize("autocast", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_with_one_pass_each_and_nothing_clipped_a_sharded_run_has_the_bytes_of_one_that_is_not(
    corpus: Path, tmp_path: Path, autocast: bool
) -> None:
    """Gradients are added at other moments but to the same sums: weights, moments and checkpoints agree bit for bit, with autocast, too."""
    train = settings(clips_per_step=4, max_grad_norm=None, autocast=autocast)
    for name, shard in (("whole", False), ("pieces", True)):
        ended(shared(corpus, tmp_path / name, replace(train, shard=shard)), tmp_path / "log")
    for step in (3, 6):
        files = [tmp_path / name / f"step_{step:07d}" / "model.safetensors" for name in ("whole", "pieces")]
        assert files[0].read_bytes() == files[1].read_bytes()
    found, state = joined(tmp_path / "pieces", 6), tmp_path / "whole" / "state_0000006"
    wanted = load_file(state / "parameters.safetensors") | load_file(state / "optimizer.safetensors")
    assert set(found) == set(wanted)
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


@pytest.mark.slow
def test_each_process_holds_about_half_of_weights_and_state_and_the_card_one_layer_besides(
    corpus: Path, tmp_path: Path
) -> None:
    """Counted in the running trainer, after a step and after a look at the model."""
    job = shared(corpus, tmp_path / "run", replace(settings(), steps=3))

    def look(group: distributed.Peers, kind: str, values: dict[str, Any]) -> None:
        if kind == jobs.PROGRESS and values["done"] == 3:
            trainer = local_of_a_caller("trainer")
            own = trainer.plan.trainable.values()
            moments = [t for one in trainer.optimizer.state.values() for t in one.values() if t.ndim]
            storages = {
                t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
                for t in (p.to_local() for p in trainer.model.core.parameters())
            }
            counted = {
                "own": sum(p.numel() for p in own), "moments": sum(t.numel() for t in moments), "held": sum(storages.values()),
                "all": sum(p.numel() for p in trainer.model.core.parameters()), "sharded": len(list(own)),
            }  # fmt: skip
            digest.write_json(tmp_path / f"rank-{group.rank}.json", counted)

    ended(job, tmp_path / "log", look)
    first, second = (digest.read_json(tmp_path / f"rank-{rank}.json") for rank in (0, 1))
    assert first["own"] + second["own"] == first["all"]
    model, trainable, _ = training.real_model(training.BASE, job.train)
    apart = layers.listed(model.core, families.find("voxcpm2").spec.layers)
    planned = sizes.of(model.core, apart, 2)
    assert first["held"] == planned.kept, "to the byte what the plan says"
    assert 4 * first["moments"] == footprint.state(job.train, trainable, 2).moments
    assert abs(first["own"] / first["all"] - 0.5) < 0.01
    for one in (first, second):
        assert one["moments"] == 2 * one["own"]
        assert one["held"] < 4 * 0.51 * one["all"], "between passes nothing is whole"
    written = [path.stat().st_size for path in sorted((tmp_path / "run" / "state_0000003").glob("rank-*"))]
    assert written == pytest.approx([6 * first["all"]] * 2, rel=0.05), (
        "weights and two moments in fp32, of half the model"
    )


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_sharded_run_that_is_killed_resumes_to_the_bytes_of_one_that_was_not(
    corpus: Path, tmp_path: Path, victim: int
) -> None:
    train = settings()
    ended(shared(corpus, tmp_path / "whole", train), tmp_path / "log")
    job = shared(corpus, tmp_path / "run", train)

    def kill(group: distributed.Peers, kind: str, values: dict[str, Any]) -> None:
        if (
            group.rank == victim
            and kind == jobs.PHASE
            and values["step"] == 5
            and values["name"] == "backward"
        ):
            os.kill(os.getpid(), signal.SIGKILL)

    ends = together(job, tmp_path / "log", kill)
    assert ends[victim] == -signal.SIGKILL and ends[1 - victim] == kill_lab.BROKEN
    assert [path.name for path in (tmp_path / "run").glob("state_*")] == ["state_0000003"]
    ended(job, tmp_path / "log")
    assert final_state(tmp_path / "run") == final_state(tmp_path / "whole")
    assert not list((tmp_path / "run").glob(".tmp-*"))


@pytest.mark.slow
def test_a_term_signal_to_one_process_saves_all_pieces_of_the_same_step(corpus: Path, tmp_path: Path) -> None:
    train = settings()
    ended(shared(corpus, tmp_path / "whole", train), tmp_path / "log")
    job = shared(corpus, tmp_path / "run", train)

    def stop(group: distributed.Peers, kind: str, values: dict[str, Any]) -> None:
        if group.rank == 1 and kind == jobs.PHASE and values["step"] == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    assert together(job, tmp_path / "log", stop) == [kill_lab.BROKEN] * 2
    state = tmp_path / "run" / "state_0000004"
    assert sorted(p.name for p in state.iterdir()) == [
        "MANIFEST.json",
        "rank-0-of-2.safetensors",
        "rank-1-of-2.safetensors",
    ]
    ended(job, tmp_path / "log")
    assert final_state(tmp_path / "run") == final_state(tmp_path / "whole")


@pytest.mark.slow
def test_torchrun_kills_and_resumes_a_sharded_run_as_any_other(corpus: Path, tmp_path: Path) -> None:
    """The worker as the stage starts it: its own torchrun, one voice, a checkpoint that upstream's loader knows."""
    train = replace(settings(), steps=4, checkpoint_every=2)
    counts = runner.run(shared(corpus, tmp_path / "run", train), "two")
    assert counts["num_trainable"] == counts["num_parameters"]
    assert [step.step for step in steps_of(tmp_path / "run")] == [1, 2, 3, 4]
    checkpoints.verify(tmp_path / "run" / "step_0000004")
    checkpoints.verify(tmp_path / "run" / "state_0000004")


@pytest.mark.slow
def test_a_missing_file_of_one_process_is_named_and_so_is_another_number_of_processes(
    corpus: Path, tmp_path: Path
) -> None:
    """The run stops and starts nothing anew."""
    train = settings(steps=3)
    job, log = shared(corpus, tmp_path / "run", train), tmp_path / "log"
    ended(job, log)
    more = replace(shared(corpus, tmp_path / "run", replace(train, steps=6), processes=3), seed=1)
    assert together(more, log) == [kill_lab.BROKEN] * 3
    assert (
        "state_0000003 was saved by 2 processes that shared the weights, and this run has 3 that share them"
        in log.read_text()
    )
    (tmp_path / "run" / "state_0000003" / "rank-1-of-2.safetensors").unlink()
    assert together(job, log) == [kill_lab.BROKEN] * 2
    assert "state_0000003: rank-1-of-2.safetensors is missing" in log.read_text()
    assert "CheckpointError" in log.read_text() and not list((tmp_path / "run").glob("state_*"))


def test_a_state_of_processes_that_each_held_everything_is_not_taken_for_pieces(
    corpus: Path, tmp_path: Path
) -> None:
    train = settings(steps=3)
    ended(shared(corpus, tmp_path / "run", replace(train, shard=False)), tmp_path / "log")
    assert together(shared(corpus, tmp_path / "run", train), tmp_path / "log") == [kill_lab.BROKEN] * 2
    assert "was saved by processes that each held all weights" in (tmp_path / "log").read_text()


def keep_one(root: Path, port: str, rank: int, step: int, before: Any = lambda: None) -> None:
    """Save a state of two pieces that need no model."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, RANK=str(rank), WORLD_SIZE="2")
    with distributed.joined(schema.Machine("cpu", 1, 2)) as peers:
        own = {"w": torch.nn.Parameter(torch.full((3, 5), float(10 * step + rank)))}
        before()
        states.keep(root, step, Pieces(None, own, peers), torch.optim.AdamW(own.values()))


def keep(root: Path, step: int, log: Path, dying: int | None = None, nth: int = 0) -> list[int]:
    port = str(node_lab.free_port())

    def die() -> None:
        kill_lab.die_at(nth, threading.main_thread().name)

    children = [
        kill_lab.child(
            lambda rank=rank: keep_one(root, port, rank, step, die if rank == dying else lambda: None), log
        )
        for rank in (0, 1)
    ]
    return [kill_lab.ended(child) for child in children]


@pytest.mark.slow
@pytest.mark.parametrize("dying", [0, 1])
def test_a_save_of_pieces_in_which_one_process_dies_at_any_point_leaves_the_old_state_or_the_new_one(
    tmp_path: Path, dying: int
) -> None:
    """Before every fsync, rename, link, mkdir, unlink and rmdir, and in the middle of every file; saving again gives the undisturbed bytes."""
    log = tmp_path / "log"
    for step in (1, 2):
        assert keep(tmp_path / "whole", step, log) == BOTH, log.read_text()
    expected, found = digest.of_tree(tmp_path / "whole"), []
    for nth in range(1, 200):
        root = tmp_path / f"point-{nth}"
        shutil.copytree(
            tmp_path / "whole", root
        )  # the same step again, as a run that lost its journal's last line would
        (root / "state_0000002").rename(root / "state_0000001")
        ends = keep(root, 2, log, dying, nth)
        if ends == BOTH:
            break
        assert ends[dying] == kill_lab.KILLED, log.read_text()[-2000:]
        checkpoints.sweep(root)
        newest = checkpoints.newest_verified(root, resume.PREFIX)
        assert newest is not None and not (root / "quarantine").exists()
        found.append(newest.name)
        assert keep(root, 2, log) == BOTH
        assert digest.of_tree(root) == expected, f"point {nth}"
    assert len(found) > 5 and found == sorted(found), "one moment at which the new state comes into being"
    assert set(found) == ({"state_0000001", "state_0000002"} if dying == 0 else {"state_0000001"})


@pytest.mark.parametrize(
    "changes, machine, nodes, message",
    [
        ({}, 1, 1, "nobody to share with at machine.processes = 1"),
        ({"mode": "lora", "lora": {"rank": 4, "alpha": 4.0, "dropout": 0.0, "scope": ["lm"]}}, 2, 1, "nearly all memory is the frozen base"),
        ({"optimizer": "adamw8bit"}, 2, 1, "optimizer = 'adamw8bit': 8-bit moments share a scale .*; set adamw, or shard: false"),
        ({"optimizer": "lion8bit"}, 2, 1, "optimizer = 'lion8bit': 8-bit moments"),
        ({"weights": "bf16_split16"}, 2, 1, "weights = 'bf16_split16': with shard: true weights are fp32"),
        ({"weights": "bf16_stochastic"}, 2, 1, "weights = 'bf16_stochastic': with shard: true weights are fp32"),
        ({"compile_layers": True}, 2, 1, "compile_layers = true: not together with shard"),
        ({"gradient_release": True}, 2, 1, "gradient_release = true"),
        ({}, 2, 2, "only among the GPUs of one machine; set nodes.count"),
        ({"clips_per_pass": 8}, 2, 1, "cannot be shared evenly among machine.processes = 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_sharded_is_refused_by_name_before_work_begins(
    changes: dict[str, Any], machine: int, nodes: int, message: str
) -> None:
    tree = params.read_yaml(Path("params.yaml"))
    tree["machine"]["processes"], tree["nodes"]["count"] = machine, nodes
    train = {
        "shard": True,
        "optimizer": "adamw",
        "weights": "fp32",
        "gradient_release": False,
        "clips_per_pass": 4,
    }
    tree["recipes"]["mini-full"]["train"].update(train | changes)
    with pytest.raises(ParamsError, match=message):
        params.check(tree, "params.yaml")


def test_a_recipe_that_shards_is_another_run_and_one_that_does_not_is_the_run_it_was() -> None:
    before = records.to_json(training.train_settings("full"))
    assert "shard" not in before, "digests of runs that there are stay"
    assert records.to_json(replace(training.train_settings("full"), shard=True)) == before | {"shard": True}
