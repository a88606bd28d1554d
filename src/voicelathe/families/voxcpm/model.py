"""VoxCPM (OpenBMB): text and audio positions in one language model, a local diffusion transformer for the latents of each position.

What VoxCPM 2 and 1.5 share; v2.py and v15.py name the differences. With the modules beside it the only importer of `voxcpm`; without torch.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.config import schema
from voicelathe.errors import FamilyUnavailable
from voicelathe.families.base import ClipItem, FamilySpec, Parts, Prompt, Recompute, Sketch, Spoken, TrainPlan
from voicelathe.families.decoding import Decoding
from voicelathe.families.shared import conversion, parameter_groups, torchaudio_shim
from voicelathe.families.shared.base_directory import PinnedDirectory, peek_config
from voicelathe.families.voxcpm import codec, loading, prompting, published, synthesis
from voicelathe.families.voxcpm import config as voxcpm_config
from voicelathe.families.voxcpm import files as voxcpm_files
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import numpy as np
    import torch

    from voicelathe.families.voxcpm.losses import Noise, Pack

ATTENTION = r"self_attn\.(q_proj|k_proj|v_proj|o_proj)"
SCOPES = {  # upstream's enable_lm, enable_dit, enable_proj; a plain list of names would also hit the local encoder
    "lm": rf"(base_lm|residual_lm)\.layers\.\d+\.{ATTENTION}",
    "dit": rf"feat_decoder\.estimator\.decoder\.layers\.\d+\.{ATTENTION}",
    "proj": r"(enc_to_lm_proj|lm_to_dit_proj|res_to_dit_proj|fusion_concat_proj)",
}
PARTS = {  # for gradient norms
    "lm": ("base_lm.",),
    "residual": ("residual_lm.", "fusion_concat_proj.", "fsq_layer."),
    "encoder": ("feat_encoder.", "enc_to_lm_proj."),
    "dit": ("feat_decoder.", "lm_to_dit_proj.", "res_to_dit_proj."),
    "stop": ("stop_proj.", "stop_head."),
}


@dataclass
class Loaded:
    """A loaded base: `core` is upstream's model, or None when only the encoder was asked for."""

    core: Any
    vae: Any
    facts: BaseFacts
    base: Path
    device: "torch.device"
    recompute: Recompute = "none"


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
        scopes=frozenset(SCOPES),
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
    )


class VoxCPM(PinnedDirectory):
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

    def load(
        self, base: Path, facts: BaseFacts, machine: schema.Machine, parts: Parts, keep_bf16: bool = False
    ) -> Loaded:
        """`core` is upstream's training load: fp32 weights, fp32 rope tables; `all` is upstream's inference load."""
        upstream = self._upstream()
        import torch

        device = torch.device(machine.device)
        if parts == "encoder":
            vae = codec.opened(upstream, self._classes(upstream)[1], base)
            return Loaded(None, vae.to(device), facts, base, device)
        model = loading.opened(
            upstream, *self._classes(upstream), base, machine.device, parts == "core", keep_bf16
        )
        return Loaded(model.to(device), model.audio_vae, facts, base, device)

    @property
    def published(self) -> Mapping[str, Any]:
        return self.format.published

    def config(self, base: Path) -> Mapping[str, Any] | None:
        return peek_config(base) or None

    def sketch(self, config: Mapping[str, Any], base: Path | None) -> Sketch:
        from voicelathe.families.voxcpm import sketch

        upstream = self._upstream()
        return sketch.build(upstream.VoxCPMConfig, *self._classes(upstream), config, base)

    def positions_per_s(self, config: Mapping[str, Any]) -> float:
        return voxcpm_config.positions_per_s(config)

    def text_lengths(self, loaded: Any, texts: Sequence[str]) -> list[int]:
        return [len(loaded.core.text_tokenizer(text.strip())) for text in texts]

    def example(
        self, loaded: Any, text_tokens: Sequence[int], positions: Sequence[int]
    ) -> "tuple[Pack, Noise]":
        from voicelathe.families.voxcpm import sketch

        return sketch.example(loaded.core, text_tokens, positions)

    def encode(
        self, loaded: Loaded, samples: "Sequence[np.ndarray[Any, Any]]"
    ) -> "Iterator[dict[str, torch.Tensor]]":
        return codec.encode(loaded, samples)

    def copy(self, loaded: Loaded, samples: "np.ndarray[Any, Any]") -> Spoken:
        return codec.copy(loaded, samples)

    def prepare(self, loaded: Loaded, items: Sequence[ClipItem]) -> None:
        """Nothing beyond the weights is remembered of a speaker."""

    def recall(self, loaded: Loaded, directory: Path) -> None:
        """As `prepare`."""

    def collate(self, loaded: Loaded, items: Sequence[ClipItem]) -> "Pack":
        import torch

        from voicelathe.families.voxcpm import losses

        texts = [
            torch.tensor(loaded.core.text_tokenizer(item.text.strip()), dtype=torch.long) for item in items
        ]
        packed = losses.pack(
            texts,
            [item.tensors["latents"] for item in items],
            [item.tensors.get("reference") for item in items],
            loaded.device,
            [item.tensors.get("prompt") for item in items],
        )
        if all("patches" in item.tensors for item in items):
            patches_FC = torch.cat([item.tensors["patches"] for item in items]).to(loaded.device)
            return replace(packed, patches_FC=patches_FC)
        return packed

    def frozen(self, loaded: Loaded, item: ClipItem) -> "dict[str, torch.Tensor]":
        """The local encoder's output [F, C], 46 MB an hour of audio at the real size; on the host."""
        import torch

        from voicelathe.families.voxcpm import losses

        with torch.no_grad():
            return {"patches": losses.encoded(loaded.core, self.collate(loaded, [item]).fed_FPD).cpu()}

    def draw(
        self, loaded: Loaded, batch: "Pack", keys: Sequence[int], frozen: tuple[int, int] | None
    ) -> "Noise":
        from voicelathe.families.voxcpm import losses

        flow = loaded.core.feat_decoder
        return losses.draw(batch, keys, flow.training_cfg_rate, flow.t_scheduler, frozen)

    def losses(self, loaded: Loaded, batch: "Pack", noise: "Noise") -> "dict[str, torch.Tensor]":
        from voicelathe.families.voxcpm import losses

        return losses.losses(loaded.core, batch, noise, loaded.recompute)

    def settled(self, loaded: Loaded, batch: "Pack") -> "Pack":
        from voicelathe.families.voxcpm import losses

        return replace(batch, settled=losses.settle(loaded.core, batch, "none"))

    def endings(self, loaded: Loaded, batch: "Pack") -> "list[torch.Tensor]":
        from voicelathe.families.voxcpm import losses

        return losses.endings(loaded.core, batch)

    def adapter_targets(self, loaded: Loaded, scope: Sequence[str]) -> str:
        """One regular expression that peft matches against whole module names."""
        return parameter_groups.targets(SCOPES, scope)

    def trainable(self, loaded: Loaded, mode: str) -> TrainPlan:
        return parameter_groups.plan(loaded.core, mode, PARTS)

    def checkpoint_blocks(self, loaded: Loaded, which: Recompute) -> None:
        loaded.recompute = which

    def save_adapter(
        self, loaded: Loaded, tensors: "dict[str, torch.Tensor]", lora: schema.Lora
    ) -> dict[str, Any]:
        """Upstream's own pair of files, so that every adapter checkpoint loads with `load_lora_weights`."""
        names = {
            name.replace(".lora_A.weight", ".lora_A").replace(".lora_B.weight", ".lora_B"): t
            for name, t in tensors.items()
        }
        enable = {f"enable_{scope}": scope in lora.scope for scope in SCOPES}
        config = {"r": lora.rank, "alpha": lora.alpha, "dropout": lora.dropout, **enable}
        return {
            "lora_weights.safetensors": names,
            "lora_config.json": {"base_model": loaded.base.name, "lora_config": config},
        }

    def load_adapter(self, directory: Path) -> "dict[str, torch.Tensor]":
        from safetensors.torch import load_file

        tensors = load_file(directory / "lora_weights.safetensors")
        return {
            f"{name}.weight" if name.endswith((".lora_A", ".lora_B")) else name: t
            for name, t in tensors.items()
        }

    def full_files(self, loaded: Loaded, dtype: "torch.dtype") -> dict[str, Any]:
        """The weights of a full checkpoint; everything else in the directory is a link to the base's file."""
        return {
            "model.safetensors": {
                n: p.detach().to("cpu", dtype).contiguous() for n, p in loading.weights(loaded.core).items()
            }
        }

    def load_full(self, loaded: Loaded, directory: Path) -> None:
        """Copy a directory's weights into the loaded model, tensor by tensor from a memory map."""
        from voicelathe.families.shared.weights import copy_weights

        copy_weights(directory, loading.weights(loaded.core))

    def synthesize(
        self, loaded: Loaded, text: str, language: str, seed: int, max_seconds: float, decoding: Decoding
    ) -> Spoken:
        return synthesis.speak(loaded, text, seed, max_seconds, decoding, None)

    def prompted(self, item: ClipItem, reference: ClipItem, way: schema.Way) -> ClipItem:
        return prompting.behind(item, reference, way)

    def synthesize_prompted(
        self,
        loaded: Loaded,
        text: str,
        language: str,
        seed: int,
        max_seconds: float,
        decoding: Decoding,
        prompt: Prompt,
    ) -> Spoken:
        return synthesis.speak(loaded, text, seed, max_seconds, decoding, prompt)

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
