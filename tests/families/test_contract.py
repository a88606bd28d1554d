"""What every family must keep, one test for all of them. A family is added with a lab; nothing else here knows its name."""

import ast
import random
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.factories import audio, training
from tests.families import labs
from tests.families.labs import Lab
from tests.train import test_peers
from voicelathe import checkpoints, digest, families, records, rng
from voicelathe.config import params, schema
from voicelathe.data.latents import cache
from voicelathe.errors import FamilyUnavailable, ParamsError
from voicelathe.families import decoding
from voicelathe.families.optional import (
    Cloning,
    Copying,
    Measurable,
    Plannable,
    Promptable,
    Referenced,
    Settling,
    TrainedWithReferences,
)
from voicelathe.families.shared import layers
from voicelathe.process import environments, jobs
from voicelathe.train import adapters, loop, saving
from voicelathe.worker import export
from voicelathe.worker import losses as validating

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "voicelathe"


def lora(lab: Lab) -> schema.Lora:
    return schema.Lora(rank=4, alpha=8.0, dropout=0.0, scope=sorted(lab.family.spec.scopes))


def adapted(lab: Lab) -> Any:
    """A model with an adapter that does something."""
    model = lab.model()
    model.prepare(lab.items())
    adapters.inject(model.core, lora(lab), model.adapter_targets(lora(lab).scope), seed=1)
    with torch.no_grad():
        for name, parameter in model.core.named_parameters():
            if "lora_B" in name:
                generator = torch.Generator().manual_seed(len(name))
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    model.core.eval()
    return model


@torch.no_grad()
def losses(lab: Lab, model: Any, items: list[Any], keys: list[int] | None = None) -> dict[str, list[float]]:
    batch = model.collate(items)
    noise = model.draw(batch, keys or list(range(len(items))), (0, 1))
    return {name: values.tolist() for name, values in model.losses(batch, noise).items()}


def near(found: dict[str, list[float]], wanted: dict[str, list[float]], abs_: float = 1e-5) -> bool:
    return all(found[name] == pytest.approx(wanted[name], abs=abs_) for name in wanted)


def test_a_base_is_recognised_described_and_named_as_in_the_table(lab: Lab) -> None:
    assert families.recognise(lab.base) == lab.name == lab.family.spec.id == lab.facts.family
    assert [name for name in families.TABLE if families.find(name).recognises(lab.base)] == [lab.name]
    assert 0 < lab.facts.min_clip_s < lab.facts.max_clip_s and lab.facts.num_parameters > 0


def test_encoding_is_deterministic_and_a_neighbour_changes_at_most_the_last_digits(lab: Lab) -> None:
    if not lab.is_here("encode"):
        with pytest.raises(
            FamilyUnavailable, match=f"voicelathe env create {environments.name_of(lab.name)}"
        ):
            lab.encoder()
        return
    encoder, samples = lab.encoder(), lab.samples()
    assert not hasattr(encoder, "core"), "encoding must not load the language model"
    together = list(encoder.encode(samples))
    for one, found in zip(samples, together, strict=True):
        (alone,), (again,) = (list(encoder.encode([one])) for _ in range(2))
        assert set(alone) == set(found)
        for name, tensor in alone.items():
            assert torch.equal(tensor, again[name]) and len(tensor) >= 1 and tensor.is_contiguous()
            assert torch.allclose(tensor.double(), found[name].double(), atol=1e-5)
        positions = max(len(tensor) for tensor in found.values())
        assert positions == pytest.approx(
            len(one) / lab.facts.encode_rate_hz * lab.facts.positions_per_s, abs=1
        )


def test_every_clip_has_every_loss_and_the_same_alone_as_packed(lab: Lab) -> None:
    model, items = lab.model(), lab.items()
    model.prepare(items)
    model.core.eval()
    together = losses(lab, model, items)
    assert set(together) == set(lab.family.spec.loss_weights)
    assert lab.family.spec.stop_loss in together
    for number, item in enumerate(items):
        alone = losses(lab, model, [item], [number])
        assert near(alone, {name: [values[number]] for name, values in together.items()})


def test_frozen_noise_repeats_exactly_whatever_the_global_state(lab: Lab) -> None:
    model, items = lab.model(), lab.items()
    model.prepare(items)
    model.core.eval()
    torch.manual_seed(1)
    first = losses(lab, model, items)
    torch.manual_seed(2)
    assert losses(lab, model, items) == first


def test_strength_zero_is_exactly_the_base_and_one_is_not(lab: Lab) -> None:
    plain, model = lab.model(), adapted(lab)
    plain.prepare(lab.items())
    plain.core.eval()
    base = losses(lab, plain, lab.items())
    assert losses(lab, model, lab.items()) != base
    adapters.set_scale(model.core, 0.0)
    assert losses(lab, model, lab.items()) == base


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_what_moves_is_what_the_mode_says_and_every_part_has_a_name(lab: Lab, mode: str) -> None:
    model = adapted(lab) if mode == "lora" else lab.model()
    plan = model.trainable(mode)
    moving = {name for name, p in model.core.named_parameters() if p.requires_grad}
    assert moving == set(plan.trainable) and moving
    assert sorted(name for names in plan.parts.values() for name in names) == sorted(moving)
    assert all(("lora_" in name) == (mode == "lora") for name in moving)


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_a_checkpoint_is_opened_by_upstream_with_the_same_losses_and_comes_back(
    lab: Lab, mode: str, tmp_path: Path
) -> None:
    model = adapted(lab) if mode == "lora" else lab.model()
    if mode == "full":
        model.prepare(lab.items())
        with torch.no_grad():
            for parameter in model.core.parameters():  # what a bf16 file can hold
                parameter.copy_((parameter * 1.01).to(torch.bfloat16))
    model.core.eval()
    train = replace(training.train_settings(mode), lora=lora(lab) if mode == "lora" else None)
    out = saving.put(tmp_path / "step_0000001", saving.weights(model, train), {"step": 1})
    expected = losses(lab, model, lab.items())
    official = (lab.open_full if mode == "full" else lab.open_adapter)(out, model)
    official.core.eval()
    assert near(losses(lab, official, lab.items()), expected)

    again = adapted(lab) if mode == "lora" else lab.model()
    again.recall(out)
    if mode == "lora":
        adapters.load(again.core, lab.family.load_adapter(out))
    else:
        again.load_full(out)
    again.core.eval()
    assert near(losses(lab, again, lab.items()), expected, 1e-5 if mode == "lora" else 1e-3)


@pytest.mark.parametrize("merged", [False, True])
def test_an_adapter_at_a_strength_is_exported_and_opened_by_upstream_with_the_same_losses(
    lab: Lab, merged: bool, tmp_path: Path
) -> None:
    model = adapted(lab)
    train = replace(training.train_settings("lora"), lora=lora(lab))
    kept = saving.put(tmp_path / "step_0000001", saving.weights(model, train), {"step": 1})
    adapters.set_scale(model.core, 0.35)
    expected = losses(lab, model, lab.items())
    untouched = lab.model()
    untouched.recall(kept)
    change = drift(losses(lab, untouched, lab.items()), expected)
    export.run(export_job(lab, kept, 0.35, merged, tmp_path / "out"), lambda kind, values: None)
    official = (lab.open_full if merged else lab.open_adapter)(tmp_path / "out", model)
    official.core.eval()
    left = drift(losses(lab, official, lab.items()), expected)
    assert left < (change / 4 if merged else 1e-5) and change > 1e-4, (
        "bf16 rounds; the adapter is there nevertheless"
    )
    assert not any(path.is_symlink() or path.stat().st_nlink > 1 for path in (tmp_path / "out").rglob("*.*"))


def drift(found: dict[str, list[float]], wanted: dict[str, list[float]]) -> float:
    """The largest difference of any loss of any clip."""
    return max(
        abs(one - other) for name in wanted for one, other in zip(found[name], wanted[name], strict=True)
    )


def export_job(lab: Lab, kept: Path, strength: float, merged: bool, out: Path) -> jobs.ExportJob:
    target = jobs.Target(lab.name, str(lab.base), lab.facts.digest, labs.CPU)
    sha256 = checkpoints.identity(kept)
    weights = jobs.WeightsRef(records.Candidate(1, strength), "lora", str(kept), sha256)
    return jobs.ExportJob(target, lora(lab), weights, merged, str(out))


@pytest.mark.parametrize("form", ["adapter", "full"])
def test_the_lines_of_a_model_card_open_an_export_and_speak_as_the_candidate_does(
    lab: Lab, form: str, tmp_path: Path
) -> None:
    usage = lab.family.spec.usage[form].replace("BASE", str(lab.base)).replace("HERE", str(tmp_path / "out"))
    own = decoding.defaults(lab.family.spec.decoding)
    usage = usage.replace("DECODING", decoding.as_arguments(lab.family.spec.decoding, own))
    ast.parse(usage)
    if not lab.is_here("speak"):
        return
    model = adapted(lab)
    train = replace(training.train_settings("lora"), lora=lora(lab))
    kept = saving.put(tmp_path / "step_0000001", saving.weights(model, train), {"step": 1})
    export.run(export_job(lab, kept, 1.0, form == "full", tmp_path / "out"), lambda kind, values: None)
    audio, rate = heard(usage, 3)
    ours = speaking(lab, kept).synthesize("Oh.", "auto", 3, FEW / lab.facts.positions_per_s, own)
    assert rate == ours.rate_hz and len(audio) == len(ours.samples)
    if form == "adapter":
        assert np.abs(audio - ours.samples).max() < 1e-3


def speaking(lab: Lab, kept: Path) -> Any:
    """A voice with an adapter at scale 1."""
    voice = lab.voice()
    voice.recall(kept)
    adapters.inject(voice.core, lora(lab), voice.adapter_targets(lora(lab).scope), seed=1)
    adapters.load(voice.core, lab.family.load_adapter(kept))
    voice.core.eval()
    return voice


FEW = 8  # positions: random weights do not end by themselves


def heard(usage: str, seed: int) -> tuple[Any, int]:
    """What the lines of a card give for a shorter text, cut at few positions."""
    usage = usage.replace('"The lamp is on."', '"Oh."')
    usage = re.sub(r"generate\((.*)\)", rf"generate(\1, max_len={FEW})", usage)
    usage = re.sub(r"(generate_\w+)\((.*)\)", rf"\1(\2, max_new_tokens={FEW + 1})", usage)
    opened, spoken = re.split(r"^(?=audio|\(audio)", usage, flags=re.MULTILINE)
    names: dict[str, Any] = {}
    exec(opened, names)
    torch.manual_seed(seed)
    exec(spoken, names)
    return names["audio"], names["rate"]


def test_speech_is_capped_and_repeats_with_its_seed(lab: Lab) -> None:
    if not lab.is_here("speak"):  # the same is asked of it where upstream's code is: needs_upstream
        with pytest.raises(
            FamilyUnavailable, match=f"voicelathe env create {environments.name_of(lab.name)}"
        ):
            lab.voice()
        return
    voice, model = lab.voice(), lab.model()
    model.prepare(lab.items())
    if hasattr(model, "voices"):
        voice.voices = model.voices

    def say(seed: int) -> Any:
        return voice.synthesize(
            "The lamp is on.", "en", seed, 0.64, decoding.defaults(lab.family.spec.decoding)
        )

    first = say(3)
    torch.manual_seed(99), np.random.seed(99), random.seed(99)  # what somebody else drew or set
    assert first.rate_hz == lab.facts.speak_rate_hz and first.samples.dtype == np.float32
    assert 0 < len(first.samples) <= 0.64 * first.rate_hz * 1.01
    assert np.array_equal(first.samples, say(3).samples)
    assert not np.array_equal(first.samples, say(4).samples)


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_a_few_steps_of_the_common_loop_lower_the_loss(lab: Lab, mode: str, tmp_path: Path) -> None:
    job = _job(lab, tmp_path, mode)
    said: list[str] = []
    loop.run(job, lambda kind, values: said.append(kind))
    steps = records.read(tmp_path / "run" / "steps.jsonl", records.StepRecord)
    assert steps[-1].total < steps[0].total
    assert set(steps[0].losses) == set(lab.family.spec.loss_weights)
    for step in (3, 6):
        checkpoints.verify(tmp_path / "run" / f"step_{step:07d}")


@pytest.mark.slow
def test_processes_that_share_the_weights_of_any_family_make_the_bytes_of_those_that_each_hold_them(
    lab: Lab, tmp_path: Path
) -> None:
    """One pass each and nothing clipped, with recomputation: the same losses, norms but for their last digits, and the same checkpoints."""
    job, log = _job(lab, tmp_path, "full"), tmp_path / "log"
    train = replace(job.train, clips_per_step=2, clips_per_pass=1, max_grad_norm=None)
    target = replace(job.target, machine=schema.Machine("cpu", 1, 2))
    for name, shard in (("whole", False), ("pieces", True)):
        one = replace(job, train=replace(train, shard=shard), target=target, directory=str(tmp_path / name))
        assert test_peers.together(one, log) == [0, 0], log.read_text()[-3000:]
    found = [test_peers.steps_of(tmp_path / name) for name in ("whole", "pieces")]
    assert len(found[0]) == 6
    for alone, joint in zip(*found, strict=True):
        assert joint.losses == alone.losses
        assert joint.grad_norm == pytest.approx(alone.grad_norm, rel=1e-4), (
            "a large head's norm is a long sum in fp32"
        )
    for step in ("step_0000003", "step_0000006"):
        files = [
            digest.read_json(tmp_path / name / step / checkpoints.MANIFEST)["files"]
            for name in ("whole", "pieces")
        ]
        assert files[0] == files[1]


def _job(lab: Lab, root: Path, mode: str) -> Any:
    """A corpus of the lab's clips, encoded, and a run on it."""
    clips, cached = [], {}
    for number, (item, samples) in enumerate(zip(lab.items(), lab.samples(), strict=True)):
        path = audio.write(root / f"{number}.wav", samples, lab.facts.encode_rate_hz)
        clip = replace(
            training.clip(number), text=item.text, speaker_id=item.speaker_id, audio=path.name, start_s=0.0,
            end_s=len(samples) / lab.facts.encode_rate_hz, audio_sha256=digest.of_file(path),
        )  # fmt: skip
        cached[clip.clip_id] = root / "cache" / f"{clip.clip_id}.safetensors"
        cache.store(cached[clip.clip_id], item.tensors)
        clips.append(clip)
    records.write(root / "train.jsonl", clips)
    cache.bundle({"train": clips}, cached, root / "latents")
    train = replace(
        training.train_settings(mode, steps=6, every=3),
        clips_per_step=3,
        clips_per_pass=3,
        learning_rate=0.02 if mode == "lora" else 0.002,
        activation_checkpointing="all",
        lora=lora(lab) if mode == "lora" else None,
    )
    job = training.train_job(root, root / "run", train)
    return replace(
        job, target=replace(job.target, family=lab.name, base=str(lab.base), base_digest=lab.facts.digest)
    )


# --- the table -------------------------------------------------------------------------------------------------------


def own_files(name: str) -> set[Path]:
    """Everything in a family's folder."""
    return set((SRC / "families" / families.TABLE[name].split(".")[2]).glob("*.py"))


def mentions(text: str, name: str) -> bool:
    """Whether code (not a comment or docstring) names a family: as text of its own, or a module of it."""
    tree = ast.parse(text)
    folder = ".".join(families.TABLE[name].split(".")[:3])
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in (name, families.TABLE[name]):
            return True
        if isinstance(node, ast.ImportFrom | ast.Import):
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            if any(f"{module}{alias.name}.".startswith(f"{folder}.") for alias in node.names):
                return True
    return False


@pytest.mark.parametrize("name", sorted(families.TABLE))
def test_a_family_touches_its_own_files_and_one_line_of_the_table(name: str) -> None:
    own = own_files(name)
    assert own
    elsewhere = [path for path in SRC.rglob("*.py") if path not in own and mentions(path.read_text(), name)]
    assert elsewhere == [SRC / "families" / "__init__.py"]
    table = (SRC / "families" / "__init__.py").read_text().splitlines()
    assert len([line for line in table if f'"{name}"' in line]) == 1


def test_a_family_named_elsewhere_would_be_seen() -> None:
    assert mentions('if family == "voxcpm2":\n    pass\n', "voxcpm2")
    assert mentions("from voicelathe.families.qwen3_tts import losses\n", "qwen3_tts")
    assert mentions("from voicelathe.families import qwen3_tts\n", "qwen3_tts")
    assert not mentions('"""Not only voxcpm2."""\nx = 1  # "voxcpm2"\n', "voxcpm2")


def test_what_a_recipe_asks_of_a_family_is_checked_before_anything_runs() -> None:
    tree = params.read_yaml(ROOT / "params.yaml")
    recipe = tree["recipes"]["mini-lora"]
    recipe["train"]["lora"]["scope"] = ["talker"]
    recipe["select"]["loss_weights"] = {"codec0": 1.0}
    with pytest.raises(ParamsError) as problem:
        params.check(tree, "params.yaml")
    assert "recipes.mini-lora.train.lora.scope = 'talker': voxcpm2 has dit, lm, proj" in str(problem.value)
    assert "select.loss_weights = ['codec0']: voxcpm2 has the losses diff, stop" in str(problem.value)
    tree["bases"]["voxcpm2-mini"]["family"] = "tacotron"
    with pytest.raises(
        ParamsError,
        match="family = 'tacotron': no such family; there are cosyvoice3, indextts2, indextts25, qwen3_tts, voxcpm15, voxcpm2",
    ):
        params.check(tree, "params.yaml")


def test_a_base_that_takes_a_reference_clip_hears_it_and_the_clips_beside_it_do_not(lab: Lab) -> None:
    if not isinstance(lab.family, Promptable):
        pytest.skip(f"{lab.name} takes over no voice from a clip in front")
    model, items = lab.model(), lab.items()
    model.core.eval()
    plain = losses(lab, model, items)
    for way in lab.family.spec.zero_shot:
        prompted = lab.family.prompted(items[0], items[1], way)
        alone = losses(lab, model, [prompted], [0])
        beside = losses(lab, model, [prompted, items[2]], [0, 2])
        assert near({name: values[:1] for name, values in beside.items()}, alone)
        assert not near(alone, {name: values[:1] for name, values in plain.items()}, 1e-4)
        assert near(
            {name: values[1:] for name, values in beside.items()}, {name: v[2:] for name, v in plain.items()}
        )


def test_a_spec_says_of_what_only_some_can_do_exactly_what_the_family_and_what_it_opens_can(lab: Lab) -> None:
    spec, model = lab.family.spec, lab.model()
    assert bool(spec.zero_shot) == isinstance(lab.family, Promptable)
    assert isinstance(lab.family, Plannable) == isinstance(model, Measurable)
    assert spec.trains_with_references == isinstance(model, TrainedWithReferences)
    assert spec.carries_recordings == isinstance(model, Referenced)
    if lab.is_here("encode"):
        assert spec.copies == isinstance(lab.encoder(), Copying)
    if lab.is_here("speak"):
        assert bool(spec.zero_shot) == isinstance(lab.voice(), Cloning)


def test_what_noise_does_not_touch_is_computed_once_for_several_draws_and_changes_no_bit(lab: Lab) -> None:
    model = lab.model()
    model.prepare(lab.items())
    model.core.eval()
    (items,) = validating.batches(lab.items(), 99)
    calls: Counter[str] = Counter()
    for name, module in model.core.named_modules():
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    found = validating.of_clips(model, items, 9, 3, 99)
    shared = calls.copy()
    expected: dict[str, dict[str, float]] = {item.clip_id: {} for item in items}
    for number in range(3):
        batch = model.collate(items)
        keys = [rng.key(9, "validation", item.clip_id, number) for item in items]
        with torch.inference_mode():
            drawn = model.losses(batch, model.draw(batch, keys, (number, 3)))
        for name, values in drawn.items():
            for item, value in zip(items, values.double().tolist(), strict=True):
                expected[item.clip_id][name] = expected[item.clip_id].get(name, 0.0) + value / 3
    assert found == expected
    less = {name for name, count in (calls - shared).items() if shared[name] < count}
    if isinstance(model, Settling):
        assert any("base_lm" in name for name in less) and not any("feat_decoder" in name for name in less)
    else:
        assert not less


def test_a_sketch_is_the_model_that_is_trained_without_its_weights(lab: Lab) -> None:
    if not isinstance(lab.family, Plannable):
        return
    model = lab.model()
    with torch.device("meta"):
        sketch = lab.family.sketch(lab.family.config(lab.base), lab.base).model
    shapes, drawn = (
        {name: tuple(p.shape) for name, p in one.core.named_parameters()} for one in (model, sketch)
    )
    assert shapes == drawn
    model.core.eval()
    with torch.no_grad():
        found = model.losses(*model.example([5, 9], [12, 20]))
    assert set(found) == set(lab.family.spec.loss_weights)
    assert all(len(values) == 2 and torch.isfinite(values).all() for values in found.values())
    lengths = sketch.text_lengths([item.text for item in lab.items()])
    assert lengths[1] < lengths[0] < lengths[2], "the sentences of the lab, by length"


def test_the_layers_that_a_spec_lists_are_those_that_are_run_as_one_and_none_is_called_by_itself(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training puts a layer together in `run_layer`, once; a layer that the spec forgot would only cost memory, one called apart would be wrong."""
    model, items = lab.model(), lab.items()
    model.prepare(items)
    seen: list[torch.nn.Module] = []
    real = layers.run_layer

    def run(function: Any, layer: Any, *given: Any, recompute: bool) -> Any:
        seen.append(layer)
        return real(function, layer, *given, recompute=recompute)

    for forward in [one for name, one in sys.modules.items() if name.startswith("voicelathe.families.")]:
        if hasattr(forward, "run_layer") and forward is not layers:
            monkeypatch.setattr(forward, "run_layer", run)
    listed, called = layers.listed(model.core, lab.family.spec.layers), []
    for layer in listed:
        layer.register_forward_pre_hook(lambda one, _given: called.append(one))
    losses(lab, model, items)
    assert listed and {id(one) for one in seen} == {id(one) for one in listed}
    assert called == []
    own = {id(p) for layer in listed for p in layer.parameters()}
    assert len(own) == sum(len(list(layer.parameters())) for layer in listed), (
        "no two layers share a parameter"
    )


def test_the_probability_of_the_end_is_that_of_the_stop_loss(lab: Lab) -> None:
    model, items = lab.model(), lab.items()
    model.prepare(items)
    model.core.eval()
    with torch.no_grad():
        chances = model.endings(model.collate(items))
    stop = losses(lab, model, items)[lab.family.spec.stop_loss]
    for chance, loss in zip(chances, stop, strict=True):
        goes_on = (
            -torch.log1p(-chance[:-1].double()).sum()
            if lab.family.spec.stop_loss == "stop"
            else torch.zeros(())
        )
        number = len(chance) if lab.family.spec.stop_loss == "stop" else 1
        assert (goes_on - torch.log(chance[-1].double())).item() / number == pytest.approx(loss, rel=1e-4)
