"""The probes after training, and the proof that an adapter is applied, on the embedded base with an adapter of its own."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import audio as audio_factory
from tests.factories import training
from voicelathe import checkpoints, digest, families, records
from voicelathe.config import schema
from voicelathe.data.audio import waveform
from voicelathe.data.latents import cache
from voicelathe.errors import CheckpointError
from voicelathe.families.base import ClipItem
from voicelathe.process import jobs, sample_files
from voicelathe.train import adapters, probe
from voicelathe.worker import applied, losses, probes, prompts, speak, validate
from voicelathe.worker.weights import Swapper

FAMILY = families.find("voxcpm2")
LORA = schema.Lora(rank=4, alpha=8.0, dropout=0.1, scope=["dit", "lm"])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.corpus(tmp_path_factory.mktemp("corpus"), train=4, validation=4)


@pytest.fixture(scope="module")
def items(corpus: Path) -> dict[str, ClipItem]:
    return cache.items(corpus / "validation.jsonl", corpus / "latents", None)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., jobs.WeightsRef]:
    """Writes an adapter as training would, its names and values changed by `edit`."""
    model = FAMILY.open_model(
        training.BASE, FAMILY.describe(training.BASE, "", True), schema.Machine("cpu", 1, 1)
    )
    adapters.inject(model.core, LORA, model.adapter_targets(LORA.scope), seed=1)
    plain = adapters.tensors(model.core)
    for name, tensor in plain.items():
        if "lora_B" in name:
            generator = torch.Generator().manual_seed(len(name))
            plain[name] = torch.randn(tensor.shape, generator=generator) * 0.05
    root, made = tmp_path_factory.mktemp("adapters"), []

    def write(edit: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> jobs.WeightsRef:
        draft = checkpoints.Draft(root / f"step_{len(made):07d}")
        for name, value in model.save_adapter(plain, LORA).items():
            (draft.tensors(name, edit(value)) if name.endswith("safetensors") else draft.json(name, value))
        made.append(path := draft.commit({}))
        return jobs.WeightsRef(records.Candidate(1, 1.0), "lora", str(path), checkpoints.identity(path))

    return write


def swapper_with(ref: jobs.WeightsRef) -> Swapper:
    model = FAMILY.open_model(
        training.BASE, FAMILY.describe(training.BASE, "", True), schema.Machine("cpu", 1, 1)
    )
    swapper = Swapper(FAMILY, model, LORA, [ref])
    model.core.eval()
    return swapper


@pytest.fixture(scope="module")
def swapper(adapter: Callable[..., jobs.WeightsRef]) -> Swapper:
    return swapper_with(adapter())


def test_an_adapter_that_is_applied_moves_its_layers_further_at_each_strength(
    swapper: Swapper, adapter: Callable[..., jobs.WeightsRef], items: dict[str, ClipItem]
) -> None:
    ref = adapter()
    swapper.put(ref)
    found = applied.prove(swapper, ref, list(items.values()), 9)
    assert found.num_weights == 2 * found.num_layers > 0 and found.loss_shift > 0
    half, full = found.shifts[1], found.shifts[2]
    assert full == pytest.approx(2 * half, rel=1e-3), "an adapter's part is linear in its strength"


def test_a_renamed_weight_is_refused_with_its_name(
    swapper: Swapper, adapter: Callable[..., jobs.WeightsRef]
) -> None:
    def rename(tensors: dict[str, Any]) -> dict[str, Any]:
        first, *others = sorted(tensors)
        return {f"renamed.{first}": tensors[first], **{name: tensors[name] for name in others}}

    with pytest.raises(
        CheckpointError, match=r"step_\d+: The adapter does not fit: 1 weights missing .*renamed\."
    ):
        swapper.put(adapter(rename))


def test_an_adapter_left_over_from_another_checkpoint_is_refused(
    swapper: Swapper, adapter: Callable[..., jobs.WeightsRef], items: dict[str, ClipItem]
) -> None:
    swapper.put(adapter())
    other = adapter(lambda tensors: {name: tensor * 2 for name, tensor in tensors.items()})
    with pytest.raises(CheckpointError, match="in the model is not what the file holds"):
        applied.prove(swapper, other, list(items.values()), 9)


def test_an_adapter_that_changes_nothing_is_refused(
    swapper: Swapper, adapter: Callable[..., jobs.WeightsRef], items: dict[str, ClipItem]
) -> None:
    ref = adapter(lambda tensors: {name: tensor * ("lora_A" in name) for name, tensor in tensors.items()})
    swapper.put(ref)
    with pytest.raises(CheckpointError, match="gives what it gives without it"):
        applied.prove(swapper, ref, list(items.values()), 9)


def test_an_adapter_that_does_not_obey_its_strength_is_refused(
    swapper: Swapper,
    adapter: Callable[..., jobs.WeightsRef],
    items: dict[str, ClipItem],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from peft.tuners.lora import LoraLayer

    ref = adapter()
    swapper.put(ref)
    with monkeypatch.context() as broken:
        broken.setattr(LoraLayer, "set_scale", lambda *_: None)
        with pytest.raises(CheckpointError, match="at LoRA scale 0 its losses are not exactly the base's"):
            applied.prove(swapper, ref, list(items.values()), 9)


def test_after_the_proof_the_candidate_is_what_it_was(
    swapper: Swapper, adapter: Callable[..., jobs.WeightsRef], items: dict[str, ClipItem]
) -> None:
    ref = adapter()
    swapper.put(ref)
    before, after = (
        (
            losses.of_clips(swapper.opened, list(items.values()), 9, 1, 4),
            applied.prove(swapper, ref, list(items.values()), 9),
        )[0]
        for _ in range(2)
    )
    assert before == after


def test_every_probe_looks_at_the_same_clips_whatever_their_order(items: dict[str, ClipItem]) -> None:
    backwards = dict(reversed(items.items()))
    assert probes.choose(items, items, {}, 9, 3) == probes.choose(backwards, backwards, {}, 9, 3)
    assert len(probes.choose(items, items, {}, 9, 99).train) == len(items)


def test_of_training_clips_only_those_that_are_looked_at_are_loaded(corpus: Path) -> None:
    """The same ones as of all of them, for hours of speech need not be held to look at a few."""
    train, latents = corpus / "train.jsonl", corpus / "latents"
    validation, every = (
        cache.items(corpus / "validation.jsonl", latents, None),
        cache.items(train, latents, None),
    )
    how = schema.Evaluate(1, 3, [1.0], None, None, 3)
    job = jobs.ValidateJob(
        training.target(), how, 9, str(corpus / "validation.jsonl"), str(train), None, str(latents), LORA, [], None, ""
    )  # fmt: skip
    split = validate._split(job)
    chosen = [one.clip_id for one in probes.choose(validation, every, {}, 9, 3).train]
    assert [one.clip_id for one in split.probed.train] == chosen and len(chosen) == 3 < len(every)
    assert (
        split.identity() == validate._Split(validation, probes.choose(validation, every, {}, 9, 3)).identity()
    )
    few = cache.items(train, latents, None, lambda clip_ids: clip_ids[1:3])
    assert list(few) == list(every)[1:3]


def test_every_clip_gets_a_text_that_says_something_else(items: dict[str, ClipItem]) -> None:
    swapped = probe.with_other_texts(list(items.values()))
    assert all(one.text != items[one.clip_id].text for one in swapped)
    assert {one.text for one in swapped} <= {one.text for one in items.values()}


def test_a_probe_record_holds_what_each_clip_said_and_survives_its_file(
    swapper: Swapper, adapter: Callable[..., jobs.WeightsRef], items: dict[str, ClipItem], tmp_path: Path
) -> None:
    ref = adapter()
    swapper.put(ref)
    how = schema.Evaluate(
        passes=2, clips_per_pass=3, lora_scales=[1.0], zero_shot=None, reference=None, probe_clips=3
    )
    job = jobs.ValidateJob(training.target(), how, 9, "", "", None, "", LORA, [ref], None, "")
    own = losses.of_clips(swapper.opened, list(items.values()), 9, 2, 3)
    clips = probes.choose(items, items, items, 9, 3)
    found = probes.look(job, ref, swapper, clips, own)
    assert (
        len(found.own_text)
        == len(found.other_text)
        == len(found.endings)
        == len(found.train_totals)
        == 3
        == len(found.general_totals)
    )
    assert all(found.own_text[clip] == own[clip]["diff"] != found.other_text[clip] for clip in found.own_text)
    assert all(
        one.num_positions == len(items[clip].tensors["latents"]) for clip, one in found.endings.items()
    )
    told = json.loads(digest.canonical_json(records.to_json(found)))
    assert records.from_json(records.ProbeRecord, told, "") == found


@pytest.mark.parametrize(
    ("chances", "first", "end"),
    [
        ([0.9, 0.9, 0.9, 0.1, 0.8], 4, 0.8),  # the first three positions never end speech
        ([0.0, 0.0, 0.0, 0.6, 0.1], 3, 0.1),
        ([0.0, 0.0, 0.0, 0.5, 0.5], None, 0.5),  # upstream takes the more likely class; a draw goes on
    ],
)
def test_speech_ends_by_upstreams_own_rule(chances: list[float], first: int | None, end: float) -> None:
    found = probes.ending(FAMILY.spec, torch.tensor(chances))
    assert (found.first_stop, found.at_end) == (first, pytest.approx(end))


def test_the_prompted_base_hears_a_clip_of_another_recording_never_the_clip_itself(tmp_path: Path) -> None:
    root = training.corpus(tmp_path, train=2, validation=6)
    clips = {clip.clip_id: clip for clip in records.read(root / "validation.jsonl", records.CleanClip)}
    first, second = clips["validation0000"], clips["validation0001"]
    beside = clips["validation0005"]
    assert first.recording_id == beside.recording_id != second.recording_id
    job = jobs.ValidateJob(
        training.target(), schema.Evaluate(1, 3, [1.0], "reference", None, 3), 9, str(root / "validation.jsonl"), "", None, str(root / "latents"),
        None, [], jobs.Reference([first, second], ""), "",
    )  # fmt: skip
    known = cache.items(root / "validation.jsonl", root / "latents", None)
    heard = {
        item.clip_id: item.tensors["reference"]
        for item in prompts.in_front(FAMILY, list(known.values()), job)
    }
    one, two = (known[clip.clip_id].tensors["latents"] for clip in (first, second))
    assert torch.equal(heard["validation0002"], one) and torch.equal(heard[second.clip_id], one)
    assert torch.equal(heard[first.clip_id], two) and torch.equal(heard[beside.clip_id], two)


@pytest.mark.slow
def test_the_prompted_base_speaks_otherwise_than_the_base_and_the_same_each_time(tmp_path: Path) -> None:
    path = tmp_path / "held-out.wav"
    waveform.write_wav(path, audio_factory.speech(1.0, 1, 16_000), 16_000)
    clip = replace(
        training.clip(0, "validation"),
        audio=path.name,
        start_s=0.0,
        end_s=1.0,
        audio_sha256=digest.of_file(path),
    )
    sha256 = training.target().base_digest
    refs = [
        jobs.WeightsRef(records.Candidate(0, None, prompted), "base", str(training.BASE), sha256)
        for prompted in (False, True)
    ]
    lines = [records.Line("one", "The lamp is on.", "en", 3)]

    def say(out: str) -> list[str]:
        job = jobs.SpeakJob(
            training.target(),
            None,
            refs,
            lines,
            1.0,
            training.DECODING,
            jobs.Reference([clip], str(tmp_path)),
            str(tmp_path / out),
            False,
        )
        speak.run(job, lambda kind, values: None)
        paths = [sample_files.place(job, ref, lines[0]) for ref in refs]
        return [digest.of_file(path.with_suffix(".wav")) for path in paths]

    plain, prompted = say("a")
    assert plain != prompted and say("b") == [plain, prompted]
