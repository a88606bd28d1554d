"""Qwen3-TTS 12 Hz Base (QwenLM), 1.7B and 0.6B: a language model over text and 16 discrete codes a frame, with a speaker vector.

The only importer of upstream's `qwen_tts`, together with the modules beside it. Importing this file does not import torch.
A speaker is the fp32 mean of the speaker vectors of their training clips; every checkpoint carries it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.config import schema
from voicelathe.families.base import Family, FamilySpec
from voicelathe.families.optional import Sketch
from voicelathe.families.qwen3_tts import files as qwen3_tts_files
from voicelathe.families.qwen3_tts import loading
from voicelathe.families.qwen3_tts import names as qwen3_tts_names
from voicelathe.families.qwen3_tts.codec import Qwen3TTSEncoder
from voicelathe.families.qwen3_tts.synthesis import Qwen3TTSVoice
from voicelathe.families.shared import base_directory, peft_files
from voicelathe.families.shared.base_directory import PinnedDirectory
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import torch

    from voicelathe.families.qwen3_tts.model import Qwen3TTSModel


class Qwen3TTSFamily(PinnedDirectory):
    """See `voicelathe.families.base.Family` for the contract of every method."""

    spec = FamilySpec(
        id="qwen3_tts",
        modes=frozenset({"lora", "full"}),
        # Upstream's objective: code 0 with the end among its targets, and 0.3 of the other codes. The end alone is only reported.
        loss_weights={"codec0": 1.0, "codec0_eos": 0.0, "sub_talker": 0.3},
        licence="Apache-2.0",
        requires=("qwen-tts",),
        scopes=frozenset(loading.SCOPES),
        cached_with=frozenset(),
        stop_loss="codec0_eos",
        stop_above=0.5,  # upstream draws from the distribution: where the end is more likely than all codes together
        stop_after=2,  # upstream's min_new_tokens
        download=qwen3_tts_files.DOWNLOAD,
        usage=qwen3_tts_names.USAGE,
        servers=qwen3_tts_names.SERVERS,
        decoding=qwen3_tts_names.DECODING,
        layers=("talker.model.layers", "talker.code_predictor.model.layers"),
        reads_language=True,
        copies=True,
    )

    def recognises(self, base: Path) -> bool:
        return base_directory.peek_config(base).get("model_type") == qwen3_tts_files.MODEL_TYPE

    def facts(self, base: Path, licence: str, trained: bool, files: dict[str, str]) -> BaseFacts:
        return qwen3_tts_files.facts(base, licence, trained, files, self.spec)

    def open_model(
        self, base: Path, facts: BaseFacts, machine: schema.Machine, keep_bf16: bool = False
    ) -> "Qwen3TTSModel":
        """fp32, always."""
        upstream = loading.upstream()
        import torch

        from voicelathe.families.qwen3_tts.model import Qwen3TTSModel

        device = torch.device(machine.device)
        tts = loading.opened(upstream, base, torch.float32)
        tts.model.speech_tokenizer = None
        tts.device = device
        return Qwen3TTSModel(tts.model.to(device), facts, base, device, tts)

    def open_voice(self, base: Path, facts: BaseFacts, machine: schema.Machine) -> Qwen3TTSVoice:
        """In bf16 on CUDA, the type of the published files, in fp32 on the CPU."""
        upstream = loading.upstream()
        import torch

        device = torch.device(machine.device)
        tts = loading.opened(upstream, base, torch.bfloat16 if device.type == "cuda" else torch.float32)
        codec = tts.model.speech_tokenizer
        codec.model.to(device)
        tts.device = codec.device = device
        return Qwen3TTSVoice(tts.model.to(device), facts, base, device, tts, codec)

    def open_encoder(self, base: Path, facts: BaseFacts, machine: schema.Machine) -> Qwen3TTSEncoder:
        loading.upstream()
        import torch

        device = torch.device(machine.device)
        codec, speaker_encoder = loading.encoders(base)
        codec.model.to(device)
        codec.device = device
        return Qwen3TTSEncoder(codec, speaker_encoder.to(device), facts, device)

    @property
    def published(self) -> Mapping[str, Any]:
        """Of the 1.7B; a 0.6B that is here is planned with its own."""
        from voicelathe.families.qwen3_tts import sketch

        return sketch.PUBLISHED

    def config(self, base: Path) -> Mapping[str, Any] | None:
        return base_directory.peek_config(base) or None

    def sketch(self, config: Mapping[str, Any], base: Path | None) -> Sketch:
        """Upstream's trainer, too, works on stored codes."""
        import torch

        from voicelathe.families.qwen3_tts import sketch
        from voicelathe.families.qwen3_tts.model import Qwen3TTSModel

        core, tts = sketch.build(config, base)
        model = Qwen3TTSModel(core, None, base or Path(), torch.device("cpu"), tts)  # type: ignore[arg-type]
        return Sketch(model, codec=0, caches=0)

    def positions_per_s(self, config: Mapping[str, Any]) -> float:
        return qwen3_tts_files.FRAMES_PER_S

    def load_adapter(self, directory: Path) -> "dict[str, torch.Tensor]":
        return peft_files.read(directory)


FAMILY: Family = Qwen3TTSFamily()
