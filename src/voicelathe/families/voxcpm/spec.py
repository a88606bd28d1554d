"""VoxCPM (OpenBMB): text and audio positions in one language model, a local diffusion transformer for the latents of each position.

What VoxCPM 2 and 1.5 share; v2.py and v15.py name the differences. With the modules beside it the only importer of `voxcpm`; without torch.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.config import schema
from voicelathe.errors import FamilyUnavailable
from voicelathe.families.base import ClipItem, FamilySpec
from voicelathe.families.optional import Sketch
from voicelathe.families.shared import conversion, torchaudio_shim
from voicelathe.families.shared.base_directory import PinnedDirectory, peek_config
from voicelathe.families.voxcpm import codec, loading, prompting, published, synthesis
from voicelathe.families.voxcpm import config as voxcpm_config
from voicelathe.families.voxcpm import files as voxcpm_files
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import torch

    from voicelathe.families.voxcpm.model import VoxCPMModel


@dataclass(frozen=True)
class Format:
    """Where the two architectures differ upstream."""

    architecture: str  # in config.json
    module: str  # of upstream's package
    model: str  # names in that module
    codec: str
    published: Mapping[str, Any]  # configuration of the model itself


def describe_family(id: str, module: str, download: str, zero_shot: tuple[schema.Way, ...]) -> FamilySpec:
    """The spec of a VoxCPM family; everything but its name and its place is common."""
    return FamilySpec(
        id=id,
        modes=frozenset({"lora", "full"}),
        loss_weights={"diff": 1.0, "stop": 1.0},
        licence="Apache-2.0",
        requires=("voxcpm",),
        scopes=frozenset(loading.SCOPES),
        cached_with=frozenset({"lm", "dit"}),
        stop_loss="stop",
        stop_above=0.5,  # upstream takes the more likely of two classes
        stop_after=3,  # upstream's min_len: the first three positions never end it
        download=download,
        usage={form: text.replace("MODULE", module) for form, text in published.USAGE.items()},
        servers=published.SERVERS,
        decoding=synthesis.DECODING,
        layers=published.LAYERS,
        zero_shot=zero_shot,
        copies=True,
    )


class VoxCPMFamily(PinnedDirectory):
    """See `voicelathe.families.base.Family` for the contract of every method."""

    def __init__(self, spec: FamilySpec, format: Format) -> None:
        self.spec, self.format = spec, format

    def recognises(self, base: Path) -> bool:
        """By upstream's rule; a VoxCPM config has an lm_config, so that a missing key cannot claim other models."""
        config = peek_config(base)
        return "lm_config" in config and voxcpm_config.architecture(config) == self.format.architecture

    def complete(self, base: Path) -> list[str]:
        """audiovae.pth once more as safetensors, which upstream prefers as well; one that is shipped stays as it is."""
        pickle, ours = base / voxcpm_files.VAE_PICKLE, base / voxcpm_files.VAE_SAFETENSORS
        is_shipped = ours.is_file() and not conversion.is_converted(ours)
        is_new = pickle.is_file() and not is_shipped and conversion.convert(pickle, ours)
        return [ours.name] if is_new else []

    def facts(self, base: Path, licence: str, trained: bool, files: dict[str, str]) -> BaseFacts:
        return voxcpm_files.facts(base, licence, trained, files, self.spec, self.format.architecture)

    def open_model(
        self, base: Path, facts: BaseFacts, machine: schema.Machine, keep_bf16: bool = False
    ) -> "VoxCPMModel":
        """Upstream's training load: fp32 weights, fp32 rope tables."""
        upstream = self._upstream()
        import torch

        core = loading.opened(upstream, *self._classes(upstream), base, machine.device, True, keep_bf16)
        device = torch.device(machine.device)
        return self._model()(core.to(device), facts, base, device)

    def open_voice(self, base: Path, facts: BaseFacts, machine: schema.Machine) -> synthesis.VoxCPMVoice:
        """Upstream's inference load."""
        upstream = self._upstream()
        import torch

        core = loading.opened(upstream, *self._classes(upstream), base, machine.device, False, False)
        device = torch.device(machine.device)
        return synthesis.VoxCPMVoice(core.to(device), facts, base, device)

    def open_encoder(self, base: Path, facts: BaseFacts, machine: schema.Machine) -> codec.VoxCPMEncoder:
        upstream = self._upstream()
        import torch

        device = torch.device(machine.device)
        vae = codec.opened(upstream, self._classes(upstream)[1], base)
        return codec.VoxCPMEncoder(vae.to(device), facts, device)

    @property
    def published(self) -> Mapping[str, Any]:
        return self.format.published

    def config(self, base: Path) -> Mapping[str, Any] | None:
        return peek_config(base) or None

    def sketch(self, config: Mapping[str, Any], base: Path | None) -> Sketch:
        upstream = self._upstream()
        import torch

        from voicelathe.families.voxcpm import sketch

        core, codec_bytes, caches = sketch.build(
            upstream.VoxCPMConfig, *self._classes(upstream), config, base
        )
        model = self._model()(core, None, base or Path(), torch.device("cpu"))  # type: ignore[arg-type]
        return Sketch(model, codec_bytes, caches)

    def positions_per_s(self, config: Mapping[str, Any]) -> float:
        return voxcpm_config.positions_per_s(config)

    def load_adapter(self, directory: Path) -> "dict[str, torch.Tensor]":
        from safetensors.torch import load_file

        tensors = load_file(directory / "lora_weights.safetensors")
        return {
            f"{name}.weight" if name.endswith((".lora_A", ".lora_B")) else name: t
            for name, t in tensors.items()
        }

    def prompted(self, item: ClipItem, reference: ClipItem, way: schema.Way) -> ClipItem:
        return prompting.behind(item, reference, way)

    def _model(self) -> "type[VoxCPMModel]":
        from voicelathe.families.voxcpm import model

        return model.VoxCPM2Model if self.spec.trains_with_references else model.VoxCPMModel

    def _classes(self, upstream: Any) -> tuple[Any, Any]:
        return getattr(upstream, self.format.model), getattr(upstream, self.format.codec)

    def _upstream(self) -> Any:
        """Import voxcpm. Raises FamilyUnavailable with the command that installs it."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        torchaudio_shim.ensure()
        try:
            return import_module(f"voxcpm.model.{self.format.module}")
        except ImportError as problem:
            raise FamilyUnavailable(
                f"The family {self.spec.id} needs the package voxcpm ({problem}). "
                "Install it: pip install 'voicelathe[voxcpm]'"
            ) from None
