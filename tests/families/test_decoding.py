"""Decoding settings: what each family has, what is refused, and that speech obeys them."""

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.factories import training
from tests.factories.training import DECODING
from voicelathe import families
from voicelathe.config import params
from voicelathe.errors import ParamsError, RequestError
from voicelathe.families import decoding
from voicelathe.families.shared import torchaudio_shim
from voicelathe.worker import speak

ROOT = Path(__file__).parents[2]
KNOWN = families.spec("voxcpm2").decoding
OPTIONS = {"language", "lora_scale", "max_seconds", "seed", "attempts", "version", "model", "input", "voice"}
UPSTREAM = {  # voxcpm 2.0.3 core.py; qwen-tts 0.1.1 qwen3_tts_model.py; CosyVoice ace7c47 utils/common.py; index-tts infer_v2.py and infer_v2_5.py
    "voxcpm2": {"inference_timesteps": 10, "cfg_value": 2.0, "retry_badcase_ratio_threshold": 6.0},
    "voxcpm15": {"inference_timesteps": 10, "cfg_value": 2.0, "retry_badcase_ratio_threshold": 6.0},
    "qwen3_tts": {
        "temperature": 0.9, "top_k": 50, "top_p": 1.0, "repetition_penalty": 1.05,
        "subtalker_temperature": 0.9, "subtalker_top_k": 50, "subtalker_top_p": 1.0,
    },
    "cosyvoice3": {"top_p": 0.8, "top_k": 25},
    **{key: {"temperature": 0.8, "top_k": 30, "top_p": 0.8, "repetition_penalty": 10.0, "num_beams": 3, "length_penalty": 0.0} for key in ["indextts2", "indextts25"]},
}  # fmt: skip


@pytest.mark.parametrize("family", sorted(families.TABLE))
def test_a_family_speaks_as_its_upstream_does_where_nobody_says_otherwise(family: str) -> None:
    known = families.spec(family).decoding
    assert decoding.keywords(known, decoding.defaults(known)) == UPSTREAM[family]
    assert not list(decoding.problems(known, decoding.defaults(known)))
    assert not set(known) & OPTIONS, "a request gives them beside these"


def test_the_defaults_are_those_of_the_installed_packages() -> None:
    """Read from upstream's own signatures, so that a new release that changes one is seen."""
    import inspect

    torchaudio_shim.ensure()
    import qwen_tts.inference.qwen3_tts_model as qwen
    from voxcpm.model.voxcpm import VoxCPMModel
    from voxcpm.model.voxcpm2 import VoxCPM2Model

    for model in (VoxCPMModel, VoxCPM2Model):
        signature = inspect.signature(model._generate).parameters
        assert {name: signature[name].default for name in UPSTREAM["voxcpm2"]} == UPSTREAM["voxcpm2"]
    table = qwen.Qwen3TTSModel._merge_generate_kwargs(SimpleNamespace(generate_defaults={}))
    assert {name: table[name] for name in UPSTREAM["qwen3_tts"]} == UPSTREAM["qwen3_tts"]


@pytest.mark.parametrize(
    "settings, says",
    [
        ({**DECODING, "temperature": 1.0}, r"speak.temperature = 1.0: no such setting; there are steps, guidance"),
        ({"steps": 10, "guidance": 2.0}, r"speak.max_length_ratio = \(missing\): missing; upstream's own value is 6.0"),
        ({**DECODING, "steps": 0}, r"speak.steps = 0.0: must be from 1 to 100 \(steps of the flow"),
        ({**DECODING, "steps": 7.5}, r"speak.steps = 7.5: must be a whole number"),
        ({**DECODING, "guidance": float("nan")}, r"speak.guidance = nan: must be from 0.1 to 10"),
        ({**DECODING, "guidance": "two"}, r"speak.guidance = 'two': input should be a valid number"),
        ({}, r"3 problems"),
    ],
)  # fmt: skip
def test_a_recipe_names_every_setting_and_no_other(settings: dict[str, Any], says: str) -> None:
    raw = params.read_yaml(ROOT / "params.yaml")
    raw["recipes"]["mini-lora"]["speak"] = settings
    with pytest.raises(ParamsError, match=says):
        params.check(raw, "params.yaml")


def test_a_recipe_of_another_family_is_told_what_that_family_has() -> None:
    raw = params.read_yaml(ROOT / "recipes/indextts2-lora.yaml")["recipes"]["indextts2-lora"]["speak"]
    assert [name for name, _ in decoding.problems(KNOWN, raw)].count("beams") == 1
    assert not list(decoding.problems(families.spec("indextts2").decoding, raw))


@pytest.mark.parametrize(
    "asked, says",
    [
        ({"temperature": 1.0}, "decoding: temperature: no such setting; this voice has steps, guidance"),
        ({"steps": 101}, "decoding: steps = 101: must be from 1 to 100"),
        ({"steps": 2.5}, "decoding: steps = 2.5: must be a whole number"),
    ],
)
def test_a_request_for_what_the_family_has_not_is_refused(asked: dict[str, float], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        decoding.chosen(KNOWN, DECODING, asked)
    assert decoding.chosen(KNOWN, DECODING, {"steps": 4}) == {**DECODING, "steps": 4.0}


def test_speech_obeys_each_setting_and_a_sample_is_kept_by_all_of_them() -> None:
    """The embedded base: other steps and other guidance are other sound, a smaller ratio ends sooner."""
    machine = training.target()
    family = families.find(machine.family)
    base = Path(machine.base)
    voice = family.open_voice(base, family.describe(base, "Apache-2.0", True), machine.machine)

    def say(text: str = "The lamp is on.", seconds: float = 1.0, **other: float) -> Any:
        return voice.synthesize(text, "en", 3, seconds, {**DECODING, **other})

    usual = say().samples
    assert np.array_equal(usual, say().samples)
    for other in ({"steps": 4}, {"guidance": 1.0}):
        samples = say(**other).samples
        assert len(samples) != len(usual) or not np.array_equal(samples, usual), other
    voice.core.stop_head.weight.data.zero_()  # it never stops by itself
    tokens, rate_hz = len(voice.core.text_tokenizer("Oh.")), voice.facts.speak_rate_hz
    for ratio in (1, 2):
        spoken = say("Oh.", 20.0, max_length_ratio=ratio)
        positions = round(len(spoken.samples) / rate_hz * voice.facts.positions_per_s)
        assert positions == tokens * ratio + 10 and not spoken.stopped, "cut at the limit"


def test_nothing_speaks_without_settings_that_a_record_keeps() -> None:
    """Whoever calls a family's speech does so in one place, with the settings of a job or of a request, and writes them down."""
    callers = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "src").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("synthesize", "synthesize_prompted")
    ]
    assert callers == [Path(speak.__file__).relative_to(ROOT).as_posix()] * 2
    kept = [
        node
        for node in ast.walk(ast.parse(Path(speak.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "SampleRecord"
    ]
    assert len(kept) == 1 and any(word.arg == "decoding" for word in kept[0].keywords)
