"""IndexTTS2 (bilibili): a GPT-2 that turns text into speech codes, after 32 latents of a voice and an emotion vector.

Trained here, on transformers alone: the 530 M parameters of GPT-2, tables and heads. The encoders that make the latents and the emotion
stay, and what they make of each clip is computed once, by upstream's own code in an interpreter of its own, which also speaks
(`voicelathe env create indextts2`). The only importer of `indextts`, together with the modules beside it. Importing this file does not
import torch. Upstream's licence restricts what may be done with a fine-tuned voice: docs/families/indextts2.md.

In training a clip is heard after another clip of its speaker; in evaluation and speech after the speaker's reference, the training clip
nearest five seconds, which every checkpoint carries.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.config import schema
from voicelathe.errors import ManifestError, RecordError, listing
from voicelathe.families.base import ClipItem, FamilySpec, Parts, Recompute, Sketch, Spoken, TrainPlan
from voicelathe.families.decoding import Decoding
from voicelathe.families.indextts2 import files as indextts2_files
from voicelathe.families.indextts2 import sketch, speakers
from voicelathe.families.indextts2 import text as indextts2_text
from voicelathe.families.indextts2.files import CODES_PER_S, FROZEN, PICKLE, WEIGHTS
from voicelathe.families.shared import conversion, parameter_groups, peft_files
from voicelathe.families.shared.base_directory import PinnedDirectory
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import numpy as np
    import torch

    from voicelathe.families.indextts2.losses import ClipTokens, Ids, Pack

SCOPES = {"attention": r"gpt\.h\.\d+\.attn\.c_(attn|proj)", "mlp": r"gpt\.h\.\d+\.mlp\.c_(fc|proj)"}
PARTS = {  # for gradient norms
    "layers": ("gpt.", "final_norm."),
    "text": ("text_embedding.", "text_pos_embedding.", "text_head."),
    "speech": ("mel_embedding.", "mel_pos_embedding.", "mel_head."),
}
STILL = "speed_emb."  # upstream's users set it; no clip says which speed it has


@dataclass
class Loaded:
    """A loaded base; `core` is what is trained, or None when only the features were asked for."""

    core: Any
    tokenizer: Any
    upstream: Any  # the whole model, in its own interpreter
    shape: Mapping[str, Any]
    facts: BaseFacts
    base: Path
    device: "torch.device"
    partners: dict[str, ClipItem] = field(
        default_factory=dict
    )  # clip -> the clip it is heard after in training
    chosen: dict[str, str] = field(default_factory=dict)  # speaker -> clip of their reference; main one first
    voices: "dict[str, dict[str, torch.Tensor]]" = field(default_factory=dict)  # speaker -> their reference
    recompute: Recompute = "none"


class IndexTTS2(PinnedDirectory):
    """See `voicelathe.families.base.Family` for the contract of every method."""

    spec = FamilySpec(
        id="indextts2",
        modes=frozenset({"lora", "full"}),
        # The published trainer's weights; the end is among the targets of `mel`, alone it is only reported.
        loss_weights={"text": 0.2, "mel": 0.8, "mel_stop": 0.0},
        licence="LicenseRef-Bilibili-IndexTTS",
        requires=("sentencepiece",),
        scopes=frozenset(SCOPES),
        cached_with=frozenset(),
        stop_loss="mel_stop",
        stop_above=0.5,  # upstream searches beams of samples: where the end is more likely than all codes together
        stop_after=1,
        download="huggingface-cli download IndexTeam/IndexTTS-2 --local-dir DIR",
        usage=indextts2_files.USAGE,
        decoding=indextts2_files.DECODING,
        layers=("gpt.h",),
        elsewhere=frozenset({"encode", "speak"}),
        pickled={PICKLE: WEIGHTS},
        terms=(
            "IndexTTS2 is under the bilibili Model Use License Agreement, not an open licence: every copy and derivative, a fine-tuned voice "
            "among them, carries the agreement and its notices and passes its terms on; whoever distributes one says that it was modified and "
            "is not endorsed by bilibili; outside non-commercial use it may not be used to improve other AI models. Read the agreement."
        ),
    )
    published = sketch.PUBLISHED

    def recognises(self, base: Path) -> bool:
        return indextts2_files.is_index(indextts2_files.read_settings(base))

    def complete(self, base: Path) -> list[str]:
        """gpt.pth once more as safetensors."""
        is_new = (base / PICKLE).is_file() and conversion.convert(base / PICKLE, base / WEIGHTS)
        return [WEIGHTS] if is_new else []

    def facts(self, base: Path, licence: str, trained: bool, files: dict[str, str]) -> BaseFacts:
        return indextts2_files.facts(base, licence, trained, files, self.spec)

    def load(
        self, base: Path, facts: BaseFacts, machine: schema.Machine, parts: Parts, keep_bf16: bool = False
    ) -> Loaded:
        """`core` has fp32 weights; `encoder` and `all` are upstream's own load, and can be had in its interpreter only."""
        import torch

        from voicelathe.families.shared.weights import copy_weights, without_weights

        device, shape = torch.device(machine.device), indextts2_files.read_settings(base)["gpt"]
        if parts != "core":
            from voicelathe.families.indextts2 import synthesis

            upstream = synthesis.open_upstream(base, device)
            core = None if parts == "encoder" else upstream.gpt
            return Loaded(core, None, upstream, shape, facts, base, device)
        with without_weights():
            core = sketch.built(shape)
        copy_weights(base, core.state_dict(keep_vars=True), FROZEN, WEIGHTS, keep_bf16)
        return Loaded(core.to(device), indextts2_text.tokenizer(base), None, shape, facts, base, device)

    def config(self, base: Path) -> Mapping[str, Any] | None:
        return indextts2_files.read_settings(base).get("gpt")

    def sketch(self, config: Mapping[str, Any], base: Path | None) -> Sketch:
        import torch

        tokenizer = None if base is None else indextts2_text.tokenizer(base)
        core = sketch.built(config)
        loaded = Loaded(core, tokenizer, None, config, None, base or Path(), torch.device("cpu"))  # type: ignore[arg-type]
        return Sketch(loaded, codec=0, caches=0)  # the published trainer, too, works on stored features

    def positions_per_s(self, config: Mapping[str, Any]) -> float:
        return CODES_PER_S

    def text_lengths(self, loaded: Loaded, texts: Sequence[str]) -> list[int]:
        return [len(indextts2_text.tokens(loaded.tokenizer, text)) for text in texts]

    def example(
        self, loaded: Loaded, text_tokens: Sequence[int], positions: Sequence[int]
    ) -> "tuple[Pack, None]":
        return sketch.example(loaded.shape["model_dim"], text_tokens, positions, _ids(loaded.shape)), None

    def encode(
        self, loaded: Loaded, samples: "Sequence[np.ndarray[Any, Any]]"
    ) -> "Iterator[dict[str, torch.Tensor]]":
        """Codes [A] (int16), latents of the voice [1, 32 * C] and the emotion [1, C] (fp16), one clip after the other."""
        from voicelathe.families.indextts2 import synthesis

        for one in samples:
            assert one.ndim == 1, "mono"
            yield synthesis.features(loaded.upstream, one)

    def prepare(self, loaded: Loaded, items: Sequence[ClipItem]) -> None:
        """Check codes and lengths; choose who is heard after whom, and the reference of each speaker.

        A speaker with a single clip is heard after that clip itself: nothing else is known of them.
        """
        most = loaded.shape["start_mel_token"]
        if broken := [item.clip_id for item in items if not _fits(item.tensors["codes"], most)]:
            raise RecordError(
                f"The codes of {len(broken)} clips are not numbers from 0 to {most - 1}, first {broken[0]}: they are of another base. "
                "Run: dvc repro -f -s encode"
            )
        texts, limit = (
            self.text_lengths(loaded, [item.text for item in items]),
            loaded.shape["max_text_tokens"],
        )
        wrong = [
            f"clip {item.clip_id}: {count} text tokens"
            for item, count in zip(items, texts, strict=True)
            if not 0 < count <= limit
        ]
        if wrong:
            raise ManifestError(
                f"These clips have no text, or more than {limit} tokens of it:\n{listing(wrong)}\nCorrect the manifest and import it again."
            )
        loaded.partners, loaded.chosen = speakers.choose(items)
        known = {item.clip_id: item for item in items}
        loaded.voices = {
            speaker: {name: known[clip_id].tensors[name] for name in ("condition", "emotion")}
            for speaker, clip_id in loaded.chosen.items()
        }

    def references(self, loaded: Loaded) -> Mapping[str, str]:
        return loaded.chosen

    def keep(self, loaded: Loaded, speaker: str, samples: "np.ndarray[Any, Any]") -> None:
        import torch

        whole = torch.from_numpy(samples).clamp(-1, 1).mul(2**15 - 1).round()
        loaded.voices[speaker]["audio"] = whole.to(torch.int16)

    def recall(self, loaded: Loaded, directory: Path) -> None:
        loaded.voices = speakers.read(directory)

    def collate(self, loaded: Loaded, items: Sequence[ClipItem]) -> "Pack":
        """A speaker of whom no reference is known is heard after the clip itself."""
        from voicelathe.families.indextts2 import losses

        def heard(item: ClipItem) -> "Mapping[str, torch.Tensor]":
            if loaded.core.training and item.clip_id in loaded.partners:
                return loaded.partners[item.clip_id].tensors
            return loaded.voices.get(item.speaker_id, item.tensors)

        clips: list[ClipTokens] = []
        for item in items:
            voice = heard(item)
            width = voice["emotion"].shape[-1]
            clips.append(
                losses.ClipTokens(
                    indextts2_text.tokens(loaded.tokenizer, item.text), item.tensors["codes"], voice["condition"].view(-1, width),
                    voice["emotion"].view(width),
                )
            )  # fmt: skip
        return losses.pack(clips, _ids(loaded.shape), loaded.device)

    def draw(
        self, loaded: Loaded, batch: "Pack", keys: Sequence[int], frozen: tuple[int, int] | None
    ) -> None:
        """Nothing in the losses is random."""

    def losses(self, loaded: Loaded, batch: "Pack", noise: None) -> "dict[str, torch.Tensor]":
        from voicelathe.families.indextts2 import losses

        return losses.losses(loaded.core, batch, loaded.recompute == "all")

    def endings(self, loaded: Loaded, batch: "Pack") -> "list[torch.Tensor]":
        from voicelathe.families.indextts2 import losses

        return losses.endings(loaded.core, batch, _ids(loaded.shape))

    def frozen(self, loaded: Loaded, item: ClipItem) -> "dict[str, torch.Tensor]":
        """Every position passes through the GPT: nothing stays the same."""
        return {}

    def adapter_targets(self, loaded: Loaded, scope: Sequence[str]) -> str:
        """One regular expression over whole module names."""
        return parameter_groups.targets(SCOPES, scope)

    def trainable(self, loaded: Loaded, mode: str) -> TrainPlan:
        return parameter_groups.plan(loaded.core, mode, PARTS, (STILL,))

    def checkpoint_blocks(self, loaded: Loaded, which: Recompute) -> None:
        """There is no decoder among what is trained: only `all` has an effect."""
        loaded.recompute = which

    def save_adapter(
        self, loaded: Loaded, tensors: "dict[str, torch.Tensor]", lora: schema.Lora
    ) -> dict[str, Any]:
        """peft's own pair of files for upstream's `tts.gpt`, and the references."""
        pair = peft_files.pair(
            tensors, lora, self.adapter_targets(loaded, lora.scope), loaded.base.name, fan_in_fan_out=True
        )
        return {**pair, **speakers.files(loaded.voices)}

    def load_adapter(self, directory: Path) -> "dict[str, torch.Tensor]":
        return peft_files.read(directory)

    def full_files(self, loaded: Loaded, dtype: "torch.dtype") -> dict[str, Any]:
        """Everything gpt.pth holds, the encoders as they are in the base. Its gpt.pth would be stale beside it."""
        from safetensors import safe_open

        weights = {
            name: p.detach().to("cpu", dtype, copy=True).contiguous()
            for name, p in loaded.core.state_dict(keep_vars=True).items()
        }
        with safe_open(loaded.base / WEIGHTS, framework="pt") as file:
            untouched = [name for name in file.keys() if name.startswith(FROZEN)]  # noqa: SIM118
            weights |= {name: file.get_tensor(name) for name in untouched}
        return {WEIGHTS: weights, PICKLE: None, **speakers.files(loaded.voices)}

    def load_full(self, loaded: Loaded, directory: Path) -> None:
        from voicelathe.families.shared.weights import copy_weights

        own = loaded.core.state_dict(keep_vars=True)
        trained = indextts2_files.tensor_names(loaded.shape["layers"])
        weights = {name: tensor for name, tensor in own.items() if name in trained}
        copy_weights(directory, weights, besides=FROZEN, file_name=WEIGHTS)

    def synthesize(
        self, loaded: Loaded, text: str, language: str, seed: int, max_seconds: float, decoding: Decoding
    ) -> Spoken:
        from voicelathe.families.indextts2 import synthesis

        return synthesis.say(loaded, text, seed, max_seconds, decoding)


FAMILY = IndexTTS2()


def _ids(shape: Mapping[str, Any]) -> "Ids":
    from voicelathe.families.indextts2.losses import Ids

    return Ids(*(shape[f"{name}_token"] for name in ("start_text", "stop_text", "start_mel", "stop_mel")))


def _fits(codes_A: "torch.Tensor", most: int) -> bool:
    return codes_A.ndim == 1 and len(codes_A) > 0 and int(codes_A.min()) >= 0 and int(codes_A.max()) < most
