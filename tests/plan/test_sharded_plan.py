"""The plan of processes that share a model: computed by hand for a small one, and counted in a real one (tests/train/test_sharded.py)."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.plan.test_rehearsal import CONFIG, train_settings
from voicelathe import records
from voicelathe.config import schema
from voicelathe.plan import forecast
from voicelathe.process import jobs
from voicelathe.train.sharded import sizes
from voicelathe.worker import rehearse


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 6) for _ in range(2))
        self.register_buffer("table", torch.zeros(5))


def test_a_small_model_on_two_processes_is_what_a_hand_computes() -> None:
    """A layer is 6 x 4 + 6 values: 120 bytes, in pieces of 3 x 4 + 3: 60. The embedding is 7 x 4: 112 bytes, in pieces of 4 x 4: 64."""
    model = Small()
    found = sizes.of(model, list(model.layers), 2)
    assert (found.kept, found.apart, found.layer, found.layers, found.tensor) == (184, 112, 120, 240, 112)
    forward = found.phase(records.Phase("forward", 1, 1, 7, 1000), first=True)
    assert (forward.weights, forward.gradients) == (184 + 20 + 112 + 3 * 120, 0)
    assert (forward.casts, forward.activations) == (7, 1000), "of the own passes alone"
    assert found.phase(records.Phase("forward again", 1, 1, 0, 0), first=False).gradients == 184
    backward = found.phase(records.Phase("backward", 1, 1, 0, 1000), first=True)
    assert backward.gradients == 184 + 112 + 2 * 120
    update = found.phase(records.Phase("update", 1, 1, 0, 100), first=True)
    assert (update.weights, update.gradients, update.activations) == (204, 184, 50)
    assert found.saving.weights == 204 + 2 * 112
    assert found.sent(3) == 3 * (3 * 240 + 2 * 112) // 2, (
        "half of each gather and of each scatter, three passes"
    )


def test_a_model_that_nobody_shares_lies_in_one_piece() -> None:
    model = Small()
    assert sizes.of(model, list(model.layers), 1).kept == 4 * sum(p.numel() for p in model.parameters())
    assert sizes.rows(torch.zeros(()), 4) == 1 and sizes.rows(torch.zeros(3, 2), 4) == 2


def rehearsed(train: schema.Train, processes: int) -> records.Rehearsal:
    job = jobs.RehearseJob("voxcpm2", CONFIG, None, train, 1, 2.0, None, None, 1, True, processes=processes)
    return records.from_json(records.Rehearsal, rehearse.run(job, lambda *_: None), "rehearsal")


@pytest.mark.slow
def test_what_every_process_holds_falls_with_their_number_and_what_is_written_does_not() -> None:
    train = train_settings("full", clips_per_step=8, clips_per_pass=2, activation_checkpointing="all")
    whole = rehearsed(train, 1)
    two, four = (rehearsed(replace(train, shard=True), count) for count in (2, 4))
    for found, count in ((two, 2), (four, 4)):
        assert found.moments == pytest.approx(whole.moments / count, rel=0.02)
        assert found.processes == count and found.passes == whole.passes // count
        assert (found.checkpoint, found.state) == (whole.checkpoint, whole.state)
    assert four.peak.total < two.peak.total < whole.peak.total
    assert {phase.name for phase in two.phases} >= {"forward", "backward", "backward again", "update", "save"}
    assert two.sent > 0 and whole.sent == 0


def test_a_plan_offers_to_share_the_weights_where_several_gpus_train_and_only_what_goes_together() -> None:
    train = train_settings("full", clips_per_step=8, clips_per_pass=4, weights="fp32", optimizer="adamw")
    assert "train.shard: true" not in dict(forecast.changes(train))
    offered = dict(forecast.changes(train, processes=2))
    assert offered["train.shard: true"].shard
    shared = dict(forecast.changes(offered["train.shard: true"], processes=2))
    assert set(shared) == {"train.activation_checkpointing: all", "train.clips_per_pass: 2"}
    assert all(one.weights == "fp32" and one.optimizer == "adamw" for one in shared.values())
