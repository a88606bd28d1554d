"""What the contract tests need to know of a family besides the protocol: a small base, and how upstream itself opens what we write."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.factories import audio
from voicelathe import families
from voicelathe.config import schema
from voicelathe.families.base import ClipItem

CPU = schema.Machine("cpu", 1, 1)
SENTENCES = [("The lamp is on.", 1.1), ("It rains.", 0.6), ("Nobody speaks of rain in this town.", 2.03)]


@dataclass(frozen=True, eq=False)
class Lab:
    """One family with a small base of it."""

    name: str
    base: Path
    open_full: Callable[
        [Path, Any], Any
    ]  # (directory, what `family.open_model` gave) -> the same with upstream's model in it
    open_adapter: Callable[[Path, Any], Any]
    encoded: tuple[dict[str, Any], ...] = ()  # of a family whose features are not made here

    @property
    def family(self) -> Any:
        return families.find(self.name)

    @property
    def facts(self) -> Any:
        return self.family.describe(self.base, "Apache-2.0", False)

    def is_here(self, verb: str) -> bool:
        """Whether this interpreter can do it; else upstream's own must."""
        return verb not in self.family.spec.elsewhere

    def model(self) -> Any:
        return self.family.open_model(self.base, self.facts, CPU)

    def voice(self) -> Any:
        return self.family.open_voice(self.base, self.facts, CPU)

    def encoder(self) -> Any:
        return self.family.open_encoder(self.base, self.facts, CPU)

    def samples(self) -> list[Any]:
        rate = self.facts.encode_rate_hz
        return [audio.speech(seconds, number, rate) for number, (_, seconds) in enumerate(SENTENCES)]

    def items(self) -> list[ClipItem]:
        return _items(self)


@cache
def _items(lab: Lab) -> list[ClipItem]:
    encoded = lab.encoded or lab.encoder().encode(lab.samples())
    return [
        ClipItem(f"clip{number}", SENTENCES[number][0], "en", "awb" if number else "Bea", tensors)
        for number, tensors in enumerate(encoded)
    ]


def voxcpm(name: str, base: Path) -> Lab:
    family: Any = families.find(name)

    def full(directory: Path, ours: Any) -> Any:
        module = import_module(f"voxcpm.model.{family.format.module}")
        model = getattr(module, family.format.model).from_local(
            str(directory), optimize=False, training=True, device="cpu"
        )
        return replace(ours, core=model)

    def adapter(directory: Path, ours: Any) -> Any:
        import json

        module = import_module(f"voxcpm.model.{family.format.module}")
        config = module.LoRAConfig(**json.loads((directory / "lora_config.json").read_text())["lora_config"])
        model = getattr(module, family.format.model).from_local(
            str(base), optimize=False, training=True, device="cpu", lora_config=config
        )
        loaded, skipped = model.load_lora_weights(str(directory), device="cpu")
        assert not skipped and len(loaded) == sum("lora_" in name for name, _ in model.named_parameters())
        return replace(ours, core=model)

    return Lab(name, base, full, adapter)


def qwen3_tts(base: Path) -> Lab:
    def opened(directory: Path) -> Any:
        import torch
        from qwen_tts import Qwen3TTSModel

        return Qwen3TTSModel.from_pretrained(str(directory), dtype=torch.float32, attn_implementation="sdpa")

    def full(directory: Path, ours: Any) -> Any:
        tts = opened(directory)
        return replace(ours, core=tts.model, tts=tts)

    def adapter(directory: Path, ours: Any) -> Any:
        from peft import PeftModel

        tts = opened(base)
        return replace(
            ours, core=PeftModel.from_pretrained(tts.model, str(directory)).base_model.model, tts=tts
        )

    return Lab("qwen3_tts", base, full, adapter)


def cosyvoice3(base: Path) -> Lab:
    """Upstream's class has no package: the same names and shapes, loaded strictly, stand for it; tests that have its code open it too."""

    def full(directory: Path, ours: Any) -> Any:
        from safetensors.torch import load_file

        fresh = families.find("cosyvoice3").open_model(base, ours.facts, CPU)
        fresh.core.load_state_dict(
            {n: t.float() for n, t in load_file(directory / "llm.safetensors").items()}, strict=True
        )
        assert not (directory / "llm.pt").exists(), "the base's own would be opened instead"
        return replace(fresh, voices=ours.voices)

    def adapter(directory: Path, ours: Any) -> Any:
        from peft import PeftModel

        fresh = families.find("cosyvoice3").open_model(base, ours.facts, CPU)
        fresh.core.llm.model = PeftModel.from_pretrained(
            fresh.core.llm.model, str(directory)
        ).base_model.model
        return replace(fresh, voices=ours.voices)

    return Lab("cosyvoice3", base, full, adapter)


def indextts2(base: Path, name: str, features: Callable[[float, int], dict[str, Any]]) -> Lab:
    """As cosyvoice3; and `features` come from the factory, since only upstream's own code makes them."""

    def fresh(ours: Any) -> Any:
        made = families.find(name).open_model(base, ours.facts, CPU)
        return replace(made, voices=ours.voices)

    def full(directory: Path, ours: Any) -> Any:
        from safetensors.torch import load_file

        made, official = fresh(ours), load_file(base / "gpt.safetensors")
        stored = load_file(directory / "gpt.safetensors")
        assert set(stored) == set(official) and not (directory / "gpt.pth").exists()
        own = made.core.state_dict()
        made.core.load_state_dict({name: stored[name].float() for name in own}, strict=True)
        assert all(stored[name].equal(official[name]) for name in set(stored) - set(own))
        return made

    def adapter(directory: Path, ours: Any) -> Any:
        from peft import PeftModel

        made = fresh(ours)
        made.core = PeftModel.from_pretrained(made.core, str(directory)).base_model.model
        return made

    encoded = [features(seconds, number) for number, (_, seconds) in enumerate(SENTENCES)]
    return Lab(name, base, full, adapter, tuple(encoded))
