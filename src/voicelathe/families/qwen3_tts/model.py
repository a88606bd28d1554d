"""Qwen3-TTS 12 Hz Base (QwenLM), 1.7B and 0.6B: a language model over text and 16 discrete codes a frame, with a speaker vector.

The only importer of upstream's `qwen_tts`, together with the modules beside it. Importing this file does not import torch.
A speaker is the fp32 mean of the speaker vectors of their training clips; every checkpoint carries it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.config import schema
from voicelathe.families.base import ClipItem, FamilySpec, Parts, Recompute, Sketch, Spoken, TrainPlan
from voicelathe.families.decoding import Decoding, keywords
from voicelathe.families.qwen3_tts import codec, loading, speakers
from voicelathe.families.qwen3_tts import files as qwen3_tts_files
from voicelathe.families.qwen3_tts import names as qwen3_tts_names
from voicelathe.families.qwen3_tts.loading import Loaded
from voicelathe.families.shared import base_directory, parameter_groups, peft_files, seeding
from voicelathe.families.shared.base_directory import CONFIG, WEIGHTS, PinnedDirectory
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import numpy as np
    import torch

    from voicelathe.families.qwen3_tts.losses import Pack

LINEARS = r"layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
SCOPES = {
    "talker": rf"talker\.model\.{LINEARS}",
    "code_predictor": rf"talker\.code_predictor\.model\.{LINEARS}",
}
PARTS = {  # for gradient norms
    "talker": ("talker.model.layers.", "talker.model.norm.", "talker.codec_head."),
    "embedding": ("talker.model.codec_embedding.", "talker.text_projection."),
    "code_predictor": ("talker.code_predictor.",),
}
FROZEN = ("talker.model.text_embedding.", qwen3_tts_files.SPEAKER_ENCODER)  # in full fine-tuning, too
TEMPLATE = "<|im_start|>assistant\n{}<|im_end|>\n<|im_start|>assistant\n"  # of upstream's wrapper


class Qwen3TTS(PinnedDirectory):
    """See `voicelathe.families.base.Family` for the contract of every method."""

    spec = FamilySpec(
        id="qwen3_tts",
        modes=frozenset({"lora", "full"}),
        # Upstream's objective: code 0 with the end among its targets, and 0.3 of the other codes. The end alone is only reported.
        loss_weights={"codec0": 1.0, "codec0_eos": 0.0, "sub_talker": 0.3},
        licence="Apache-2.0",
        requires=("qwen-tts",),
        scopes=frozenset(SCOPES),
        cached_with=frozenset(),
        stop_loss="codec0_eos",
        stop_above=0.5,  # upstream draws from the distribution: where the end is more likely than all codes together
        stop_after=2,  # upstream's min_new_tokens
        download="huggingface-cli download Qwen/Qwen3-TTS-12Hz-1.7B-Base --local-dir DIR",
        usage=qwen3_tts_names.USAGE,
        servers=qwen3_tts_names.SERVERS,
        decoding=qwen3_tts_names.DECODING,
        layers=("talker.model.layers", "talker.code_predictor.model.layers"),
        reads_language=True,
    )

    def recognises(self, base: Path) -> bool:
        return base_directory.peek_config(base).get("model_type") == qwen3_tts_files.MODEL_TYPE

    def facts(self, base: Path, licence: str, trained: bool, files: dict[str, str]) -> BaseFacts:
        return qwen3_tts_files.facts(base, licence, trained, files, self.spec)

    def load(
        self, base: Path, facts: BaseFacts, machine: schema.Machine, parts: Parts, keep_bf16: bool = False
    ) -> Loaded:
        """`core` has fp32 weights, always; `all` speaks in bf16 on CUDA, the type of the published files, in fp32 on the CPU."""
        upstream = loading.upstream()
        import torch

        device = torch.device(machine.device)
        if parts == "encoder":
            tokenizer, speaker_encoder = loading.encoders(base)
            tokenizer.model.to(device)
            tokenizer.device = device
            return Loaded(None, None, tokenizer, speaker_encoder.to(device), facts, base, device)
        half = parts == "all" and device.type == "cuda"
        dtype = torch.bfloat16 if half else torch.float32
        tts = upstream.Qwen3TTSModel.from_pretrained(str(base), dtype=dtype, attn_implementation="sdpa")
        model, tokenizer = tts.model, tts.model.speech_tokenizer
        assert (
            model.talker.code_predictor.config._attn_implementation == "sdpa"
        )  # without a mask only this is causal
        model.speaker_encoder = None
        if parts == "core":
            model.speech_tokenizer = tokenizer = None
        else:
            tokenizer.model.to(device)
            tokenizer.device = device
        tts.device = device
        return Loaded(model.to(device), tts, tokenizer, None, facts, base, device)

    @property
    def published(self) -> Mapping[str, Any]:
        """Of the 1.7B; a 0.6B that is here is planned with its own."""
        from voicelathe.families.qwen3_tts import sketch

        return sketch.PUBLISHED

    def config(self, base: Path) -> Mapping[str, Any] | None:
        return base_directory.peek_config(base) or None

    def sketch(self, config: Mapping[str, Any], base: Path | None) -> Sketch:
        from voicelathe.families.qwen3_tts import sketch

        return sketch.build(config, base)

    def positions_per_s(self, config: Mapping[str, Any]) -> float:
        return qwen3_tts_files.FRAMES_PER_S

    def text_lengths(self, loaded: Any, texts: Sequence[str]) -> list[int]:
        from voicelathe.families.qwen3_tts.losses import ROLE

        return [len(_tokens(loaded, text)) - ROLE for text in texts]

    def example(
        self, loaded: Any, text_tokens: Sequence[int], positions: Sequence[int]
    ) -> "tuple[Pack, None]":
        from voicelathe.families.qwen3_tts import sketch

        return sketch.example(loaded.core, text_tokens, positions), None

    def encode(
        self, loaded: Loaded, samples: "Sequence[np.ndarray[Any, Any]]"
    ) -> "Iterator[dict[str, torch.Tensor]]":
        return codec.encode(loaded, samples)

    def copy(self, loaded: Loaded, samples: "np.ndarray[Any, Any]") -> Spoken:
        return codec.copy(loaded, samples)

    def prepare(self, loaded: Loaded, items: Sequence[ClipItem]) -> None:
        """Check codes, languages and names of the speakers; average the speaker vectors."""
        talker = loaded.core.config.talker_config
        speakers.require_codes(items, talker.num_code_groups, talker.code_predictor_config.vocab_size)
        speakers.require_names(items, talker, loaded.base)
        loaded.voices = speakers.averaged(items)

    def recall(self, loaded: Loaded, directory: Path) -> None:
        """From the adapter's own file, or from the rows that a custom-voice directory keeps its speakers in."""
        loaded.voices = speakers.read(directory)

    def collate(self, loaded: Loaded, items: Sequence[ClipItem]) -> "Pack":
        """A speaker of whom no training clip is known is given by the clip's own vector."""
        from voicelathe.families.qwen3_tts import losses

        talker = loaded.core.config.talker_config
        names = [qwen3_tts_names.language(loaded.core.config.talker_config, item.language) for item in items]
        return losses.pack(
            loaded.core.config,
            [_tokens(loaded, item.text) for item in items],
            [item.tensors["codes"] for item in items],
            [loaded.voices.get(item.speaker_id.lower(), item.tensors["speaker"][0]) for item in items],
            [None if name is None else talker.codec_language_id[name] for name in names],
            loaded.device,
        )

    def draw(
        self, loaded: Loaded, batch: "Pack", keys: Sequence[int], frozen: tuple[int, int] | None
    ) -> None:
        """Nothing in the losses is random."""

    def losses(self, loaded: Loaded, batch: "Pack", noise: None) -> "dict[str, torch.Tensor]":
        from voicelathe.families.qwen3_tts import losses

        return losses.losses(loaded.core.talker, batch, loaded.recompute)

    def endings(self, loaded: Loaded, batch: "Pack") -> "list[torch.Tensor]":
        from voicelathe.families.qwen3_tts import losses

        return losses.endings(loaded.core, batch)

    def frozen(self, loaded: Loaded, item: ClipItem) -> "dict[str, torch.Tensor]":
        """Every position passes through the talker: nothing stays the same."""
        return {}

    def adapter_targets(self, loaded: Loaded, scope: Sequence[str]) -> str:
        """One regular expression; bare names of linears would also hit the code predictor."""
        return parameter_groups.targets(SCOPES, scope)

    def trainable(self, loaded: Loaded, mode: str) -> TrainPlan:
        return parameter_groups.plan(loaded.core, mode, PARTS, FROZEN)

    def checkpoint_blocks(self, loaded: Loaded, which: Recompute) -> None:
        """`decoder` is the code predictor."""
        loaded.recompute = which

    def save_adapter(
        self, loaded: Loaded, tensors: "dict[str, torch.Tensor]", lora: schema.Lora
    ) -> dict[str, Any]:
        """peft's own pair of files, and the speaker vectors with the slots they would have in a custom voice."""
        targets = self.adapter_targets(loaded, lora.scope)
        return {
            **peft_files.pair(tensors, lora, targets, loaded.base.name),
            **speakers.files(loaded.voices, loaded.core.config.talker_config),
        }

    def load_adapter(self, directory: Path) -> "dict[str, torch.Tensor]":
        return peft_files.read(directory)

    def full_files(self, loaded: Loaded, dtype: "torch.dtype") -> dict[str, Any]:
        """A custom-voice directory, together with the base's other files: each speaker is a row of the codec embedding.

        config.json is the base's own with four entries changed: the one that upstream's class writes cannot be loaded again.
        """
        weights = {
            name: p.detach().to("cpu", dtype, copy=True).contiguous() for name, p in _weights(loaded).items()
        }
        for name, slot in qwen3_tts_names.slots(loaded.voices, loaded.core.config.talker_config).items():
            weights["talker.model.codec_embedding.weight"][slot] = loaded.voices[name].to(dtype)
        config = base_directory.read_config(loaded.base / CONFIG, self.spec.download)
        config["tts_model_type"] = "custom_voice"
        config["talker_config"]["spk_id"] |= qwen3_tts_names.slots(
            loaded.voices, loaded.core.config.talker_config
        )
        config["talker_config"]["spk_is_dialect"] |= dict.fromkeys(loaded.voices, False)
        return {WEIGHTS: weights, CONFIG: config}

    def load_full(self, loaded: Loaded, directory: Path) -> None:
        from voicelathe.families.shared.weights import copy_weights

        copy_weights(directory, _weights(loaded), besides=qwen3_tts_files.SPEAKER_ENCODER)

    def synthesize(
        self, loaded: Loaded, text: str, language: str, seed: int, max_seconds: float, decoding: Decoding
    ) -> Spoken:
        """Upstream's generation with the text in front, as in training, in the voice of the speaker with most training clips.

        About one generation in 200 of the real model does not end by itself; `stopped` says which. Its length is always capped.
        """
        import numpy as np

        name, voice = (
            qwen3_tts_names.language(loaded.core.config.talker_config, language),
            next(iter(loaded.voices.values()), None),
        )
        limit = max(2, round(max_seconds * loaded.facts.positions_per_s))
        prompt = None
        if voice is not None:
            prompt = {
                "ref_code": [None],
                "ref_spk_embedding": [voice],
                "x_vector_only_mode": [True],
                "icl_mode": [False],
            }
        ids = loaded.tts._tokenize_texts([TEMPLATE.format(text.strip())])
        choices = {
            **loaded.tts._merge_generate_kwargs(),
            **keywords(qwen3_tts_names.DECODING, decoding),
            "do_sample": True,  # else temperatures would mean nothing
            "subtalker_dosample": True,
            "max_new_tokens": limit + 1,
        }  # the last is never made sound
        with seeding.of(seed):
            codes, _ = loaded.core.generate(
                input_ids=ids,
                voice_clone_prompt=prompt,
                languages=[name or "auto"],
                non_streaming_mode=True,
                **choices,
                **seeding.given(seed, loaded.core.generate),
            )
            spoken = np.zeros(0, np.float32)
            if len(codes[0]):
                (spoken,), _ = loaded.codec.decode([{"audio_codes": codes[0]}])
        return Spoken(spoken.astype(np.float32), loaded.facts.speak_rate_hz, len(codes[0]) < limit)


FAMILY = Qwen3TTS()


def _tokens(loaded: Loaded, text: str) -> "torch.Tensor":
    """Role and text, without the tail of upstream's template."""
    import torch

    from voicelathe.families.qwen3_tts.losses import TAIL

    ids = loaded.tts.processor.tokenizer(TEMPLATE.format(text.strip()))["input_ids"]
    return torch.tensor(ids[:-TAIL], dtype=torch.long)


def _weights(loaded: Loaded) -> "dict[str, torch.Tensor]":
    """Upstream's names of what model.safetensors holds, without the speaker encoder."""
    found: dict[str, torch.Tensor] = loaded.core.state_dict(keep_vars=True)
    return found
