"""CosyVoice 3 (FunAudioLLM), 0.5B: a Qwen2 that turns text into speech tokens; upstream's flow and vocoder turn those into sound.

Trained here, on transformers alone; speech is made by upstream's own code, which has no package and wants an interpreter of its own
(`voicelathe env create cosyvoice3`). The only importer of `cosyvoice`, together with the modules beside it. Importing this file does
not import torch. The language model knows no speaker vector; the flow is given the mean of the training clips' vectors.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe import digest
from voicelathe.config import schema
from voicelathe.errors import ManifestError, RecordError, listing
from voicelathe.families.base import ClipItem, FamilySpec, Parts, Prompt, Recompute, Sketch, Spoken, TrainPlan
from voicelathe.families.cosyvoice3 import files as cosyvoice3_files
from voicelathe.families.cosyvoice3 import sketch
from voicelathe.families.cosyvoice3 import text as cosyvoice3_text
from voicelathe.families.cosyvoice3.files import CONFIG, PICKLE, WEIGHTS
from voicelathe.families.cosyvoice3.text import BREAK, INSTRUCTION
from voicelathe.families.decoding import Decoding
from voicelathe.families.shared import conversion, parameter_groups, peft_files, speaker_means
from voicelathe.families.shared.base_directory import PinnedDirectory
from voicelathe.records import BaseFacts, ReadText

if TYPE_CHECKING:
    import numpy as np
    import torch

    from voicelathe.families.cosyvoice3.losses import ClipTokens, Pack

LAYERS = r"llm\.model\.model\.layers\.\d+"
SCOPES = {
    "attention": rf"{LAYERS}\.self_attn\.(q|k|v|o)_proj",
    "mlp": rf"{LAYERS}\.mlp\.(gate|up|down)_proj",
}
PARTS = {  # for gradient norms
    "layers": ("llm.model.model.layers.", "llm.model.model.norm."),
    "text": ("llm.model.model.embed_tokens.",),
    "speech": ("speech_embedding.", "llm_decoder."),
}
ADAPTED = "llm.model."  # what upstream's users wrap with peft: the Qwen2 inside


@dataclass
class Loaded:
    """A loaded base; `core` is the language model, or None when only the features were asked for."""

    core: Any
    tokenizer: Any
    ears: Any  # the two ONNX models
    speaker: Any  # upstream's whole model, in its own interpreter
    facts: BaseFacts
    base: Path
    device: "torch.device"
    voices: "dict[str, torch.Tensor]" = field(default_factory=dict)  # speaker -> fp32 [192]; main one first
    recompute: Recompute = "none"


class CosyVoice3(PinnedDirectory):
    """See `voicelathe.families.base.Family` for the contract of every method."""

    spec = FamilySpec(
        id="cosyvoice3",
        modes=frozenset({"lora", "full"}),
        loss_weights={
            "lm": 1.0,
            "lm_eos": 0.0,
        },  # the end is among the targets of `lm`; alone it is only reported
        licence="Apache-2.0",
        requires=("onnxruntime",),
        scopes=frozenset(SCOPES),
        cached_with=frozenset(),
        zero_shot=("continuation",),
        stop_loss="lm_eos",
        stop_above=0.5,  # upstream draws from the distribution: where the end is more likely than all tokens together
        stop_after=2,  # upstream speaks at least two tokens for each of the text
        download="huggingface-cli download FunAudioLLM/Fun-CosyVoice3-0.5B-2512 --local-dir DIR",
        usage=cosyvoice3_files.USAGE,
        decoding=cosyvoice3_files.DECODING,
        layers=("llm.model.model.layers",),
        elsewhere=frozenset({"speak"}),
        pickled={PICKLE: WEIGHTS},
    )
    published = sketch.PUBLISHED

    def recognises(self, base: Path) -> bool:
        return (base / cosyvoice3_files.MARK).is_file()

    def complete(self, base: Path) -> list[str]:
        """llm.pt once more as safetensors."""
        is_new = (base / PICKLE).is_file() and conversion.convert(base / PICKLE, base / WEIGHTS)
        return [WEIGHTS] if is_new else []

    def facts(self, base: Path, licence: str, trained: bool, files: dict[str, str]) -> BaseFacts:
        return cosyvoice3_files.facts(base, licence, trained, files, self.spec)

    def load(
        self, base: Path, facts: BaseFacts, machine: schema.Machine, parts: Parts, keep_bf16: bool = False
    ) -> Loaded:
        """`core` has fp32 weights; `all` is upstream's own load, and can be had in its interpreter only."""
        import torch

        device = torch.device(machine.device)
        if parts == "encoder":
            from voicelathe.families.cosyvoice3.features import Ears

            return Loaded(None, None, Ears(base, machine.threads), None, facts, base, device)
        if parts == "all":
            from voicelathe.families.cosyvoice3 import synthesis

            speaker = synthesis.open_upstream(base, device)
            return Loaded(
                speaker.model.llm, cosyvoice3_text.tokenizer(base), None, speaker, facts, base, device
            )
        from voicelathe.families.shared.weights import copy_weights, without_weights

        with without_weights():
            core = sketch.built(digest.read_json(base / CONFIG), base)
        copy_weights(base, core.state_dict(keep_vars=True), file_name=WEIGHTS, keep_bf16=keep_bf16)
        return Loaded(core.to(device), cosyvoice3_text.tokenizer(base), None, None, facts, base, device)

    def config(self, base: Path) -> Mapping[str, Any] | None:
        return digest.read_json(base / CONFIG) if (base / CONFIG).is_file() else None

    def sketch(self, config: Mapping[str, Any], base: Path | None) -> Sketch:
        import torch

        core = sketch.built(config, base)
        tokenizer = None if base is None else cosyvoice3_text.tokenizer(base)
        loaded = Loaded(core, tokenizer, None, None, None, base or Path(), torch.device("cpu"))  # type: ignore[arg-type]
        return Sketch(loaded, codec=0, caches=0)  # upstream's trainer, too, works on stored tokens

    def positions_per_s(self, config: Mapping[str, Any]) -> float:
        return cosyvoice3_files.TOKENS_PER_S

    def text_lengths(self, loaded: Loaded, texts: Sequence[str]) -> list[int]:
        return [len(cosyvoice3_text.tokens(loaded.tokenizer, text)) for text in texts]

    def example(
        self, loaded: Loaded, text_tokens: Sequence[int], positions: Sequence[int]
    ) -> "tuple[None, Pack]":
        return None, sketch.example(loaded.core, text_tokens, positions)

    def encode(
        self, loaded: Loaded, samples: "Sequence[np.ndarray[Any, Any]]"
    ) -> "Iterator[dict[str, torch.Tensor]]":
        """Speech tokens [A] (int16) and the speaker's vector [1, 192] (fp32) of each clip, one after the other, as upstream does."""
        for one in samples:
            assert one.ndim == 1, "mono"
            yield {
                "tokens": loaded.ears.tokens(one).contiguous(),
                "speaker": loaded.ears.voice(one)[None].contiguous(),
            }

    def prepare(self, loaded: Loaded, items: Sequence[ClipItem]) -> None:
        """Check the tokens; average the speakers' vectors."""
        most = loaded.core.speech_embedding.num_embeddings - cosyvoice3_files.SPECIALS
        if broken := [item.clip_id for item in items if not _fits(item.tensors["tokens"], most)]:
            raise RecordError(
                f"The tokens of {len(broken)} clips are not numbers from 0 to {most - 1}, first {broken[0]}: they are of another base. "
                "Run: dvc repro -f -s encode"
            )
        lengths = self.text_lengths(loaded, [item.text for item in items])
        wordless = [f"clip {item.clip_id}" for item, some in zip(items, lengths, strict=True) if not some]
        if wordless:
            raise ManifestError(
                f"These clips have no words:\n{listing(wordless)}\nCorrect the manifest and import it again."
            )
        loaded.voices = speaker_means.averaged(items)

    def recall(self, loaded: Loaded, directory: Path) -> None:
        loaded.voices = speaker_means.read(directory)

    def collate(self, loaded: Loaded, items: Sequence[ClipItem]) -> "list[ClipTokens]":
        from voicelathe.families.cosyvoice3.losses import ClipTokens

        instruction = cosyvoice3_text.tokens(loaded.tokenizer, INSTRUCTION)
        return [
            ClipTokens(
                instruction,
                cosyvoice3_text.words(loaded.tokenizer, item),
                item.tensors["tokens"].long(),
                heard.long() if (heard := item.tensors.get("heard")) is not None else None,
            )
            for item in items
        ]

    def draw(
        self,
        loaded: Loaded,
        batch: "Sequence[ClipTokens]",
        keys: Sequence[int],
        frozen: tuple[int, int] | None,
    ) -> "Pack":
        """The layout is what is random: in training half of the clips are interleaved, as upstream does; in validation none."""
        import torch

        from voicelathe.families.cosyvoice3 import losses

        mixed = [
            frozen is None and torch.rand((), generator=torch.Generator().manual_seed(key)).item() < 0.5
            for key in keys
        ]
        return losses.pack(batch, mixed, losses.Ids.of(loaded.core), loaded.device)

    def losses(
        self, loaded: Loaded, batch: "Sequence[ClipTokens]", noise: "Pack"
    ) -> "dict[str, torch.Tensor]":
        from voicelathe.families.cosyvoice3 import losses

        return losses.losses(loaded.core, noise, loaded.recompute == "all")

    def endings(self, loaded: Loaded, batch: "Sequence[ClipTokens]") -> "list[torch.Tensor]":
        from voicelathe.families.cosyvoice3 import losses

        ids = losses.Ids.of(loaded.core)
        return losses.endings(loaded.core, losses.pack(batch, [False] * len(batch), ids, loaded.device), ids)

    def frozen(self, loaded: Loaded, item: ClipItem) -> "dict[str, torch.Tensor]":
        """Every position passes through the language model: nothing stays the same."""
        return {}

    def prompted(self, item: ClipItem, reference: ClipItem, way: schema.Way) -> ClipItem:
        """Upstream's zero-shot: the reference's words before the text, its tokens before the speech."""
        heard = {"heard": reference.tensors["tokens"]}
        both = ReadText(f"{reference.text}{BREAK}{item.text}")
        return replace(item, text=both, tensors={**item.tensors, **heard})

    def adapter_targets(self, loaded: Loaded, scope: Sequence[str]) -> str:
        """One regular expression over whole module names."""
        return parameter_groups.targets(SCOPES, scope)

    def trainable(self, loaded: Loaded, mode: str) -> TrainPlan:
        return parameter_groups.plan(loaded.core, mode, PARTS)

    def checkpoint_blocks(self, loaded: Loaded, which: Recompute) -> None:
        """There is no decoder among what is trained: only `all` has an effect."""
        loaded.recompute = which

    def save_adapter(
        self, loaded: Loaded, tensors: "dict[str, torch.Tensor]", lora: schema.Lora
    ) -> dict[str, Any]:
        """peft's own pair of files for the Qwen2 inside (`llm.llm.model`), and the speakers' vectors."""
        targets = self.adapter_targets(loaded, lora.scope).replace(ADAPTED.replace(".", r"\."), "")
        names = {name.removeprefix(ADAPTED): tensor for name, tensor in tensors.items()}
        return {
            **peft_files.pair(names, lora, targets, loaded.base.name),
            **speaker_means.files(loaded.voices),
        }

    def load_adapter(self, directory: Path) -> "dict[str, torch.Tensor]":
        return {f"{ADAPTED}{name}": tensor for name, tensor in peft_files.read(directory).items()}

    def full_files(self, loaded: Loaded, dtype: "torch.dtype") -> dict[str, Any]:
        """The whole language model under upstream's names. The base's llm.pt would be stale beside it; `voicelathe export` writes one."""
        named = loaded.core.state_dict(keep_vars=True)
        weights = {name: p.detach().to("cpu", dtype, copy=True).contiguous() for name, p in named.items()}
        return {WEIGHTS: weights, PICKLE: None, **speaker_means.files(loaded.voices)}

    def load_full(self, loaded: Loaded, directory: Path) -> None:
        from voicelathe.families.shared.weights import copy_weights

        copy_weights(directory, loaded.core.state_dict(keep_vars=True), file_name=WEIGHTS)

    def synthesize(
        self, loaded: Loaded, text: str, language: str, seed: int, max_seconds: float, decoding: Decoding
    ) -> Spoken:
        """Upstream's generation with the instruction in front, as in training; flow and vocoder get the main speaker's vector."""
        from voicelathe.families.cosyvoice3 import synthesis

        return synthesis.say(loaded, f"{INSTRUCTION}{text.strip()}", seed, max_seconds, decoding)

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
        """Upstream's zero-shot generation."""
        from voicelathe.families.cosyvoice3 import synthesis

        return synthesis.say_like(loaded, text.strip(), seed, max_seconds, decoding, prompt)


FAMILY = CosyVoice3()


def _fits(tokens_A: "torch.Tensor", most: int) -> bool:
    return (
        tokens_A.ndim == 1 and len(tokens_A) > 0 and int(tokens_A.min()) >= 0 and int(tokens_A.max()) < most
    )
