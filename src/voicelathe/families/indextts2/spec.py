"""IndexTTS2 (bilibili): a GPT-2 that turns text into speech codes, after 32 latents of a voice and an emotion vector.

Trained here, on transformers alone: the 530 M parameters of GPT-2, tables and heads. The encoders that make the latents and the emotion
stay, and what they make of each clip is computed once, by upstream's own code in an interpreter of its own, which also speaks
(`voicelathe env create indextts2`). The only importer of `indextts`, together with the modules beside it. Importing this file does not
import torch. Upstream's licence restricts what may be done with a fine-tuned voice: docs/families/indextts2.md.

In training a clip is heard after another clip of its speaker; in evaluation and speech after the speaker's reference, the training clip
nearest five seconds, which every checkpoint carries.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.config import schema
from voicelathe.families.base import Family, FamilySpec
from voicelathe.families.indextts2 import files as indextts2_files
from voicelathe.families.indextts2 import loading, sketch, synthesis
from voicelathe.families.indextts2 import text as indextts2_text
from voicelathe.families.indextts2.editions import TWO, TWO_FIVE, Edition
from voicelathe.families.indextts2.files import PICKLE, WEIGHTS
from voicelathe.families.indextts2.synthesis import IndexTTS2Encoder, IndexTTS2Voice
from voicelathe.families.optional import Sketch
from voicelathe.families.shared import conversion, peft_files
from voicelathe.families.shared.base_directory import PinnedDirectory
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import torch

    from voicelathe.families.indextts2.model import IndexTTS2Model


def described(
    id: str, edition: Edition, requires: str, usage: Mapping[str, str], reads_language: bool = False
) -> FamilySpec:
    """The spec of one of the two; everything but its names and its text is common."""
    return FamilySpec(
        id=id,
        modes=frozenset({"lora", "full"}),
        # The published trainers' weights; the end is among the targets of `mel`, alone it is only reported.
        loss_weights={"text": 0.2, "mel": 0.8, "mel_stop": 0.0},
        licence="LicenseRef-Bilibili-IndexTTS",
        requires=(requires,),
        scopes=frozenset(loading.SCOPES),
        cached_with=frozenset(),
        stop_loss="mel_stop",
        stop_above=0.5,  # upstream searches beams of samples: where the end is more likely than all codes together
        stop_after=1,
        download=edition.download,
        usage=usage,
        decoding=indextts2_files.DECODING,
        layers=("gpt.h",),
        elsewhere=frozenset({"encode", "speak"}),
        environment="indextts2",
        pickled={PICKLE: WEIGHTS},
        carries_recordings=True,
        reads_language=reads_language,
        terms=(
            f"{edition.name} is under the bilibili Model Use License Agreement, not an open licence: every copy and derivative, a fine-tuned voice "
            "among them, carries the agreement and its notices and passes its terms on; whoever distributes one says that it was modified and "
            "is not endorsed by bilibili; outside non-commercial use it may not be used to improve other AI models. Read the agreement."
        ),
    )


class IndexTTS2Family(PinnedDirectory):
    """See `voicelathe.families.base.Family` for the contract of every method."""

    spec = described("indextts2", TWO, "sentencepiece", indextts2_files.usage("infer_v2", ""))
    edition, voice, encoder = TWO, IndexTTS2Voice, IndexTTS2Encoder
    published: Mapping[str, Any] = sketch.PUBLISHED

    def recognises(self, base: Path) -> bool:
        """Later ones, too, which nothing here can open: `describe` says so."""
        settings = indextts2_files.read_settings(base)
        return indextts2_files.is_index(settings) and indextts2_files.edition(base, settings) is not TWO_FIVE

    def complete(self, base: Path) -> list[str]:
        """gpt.pth once more as safetensors."""
        is_new = (base / PICKLE).is_file() and conversion.convert(base / PICKLE, base / WEIGHTS)
        return [WEIGHTS] if is_new else []

    def facts(self, base: Path, licence: str, trained: bool, files: dict[str, str]) -> BaseFacts:
        return indextts2_files.facts(base, licence, trained, files, self.spec, self.edition)

    def open_model(
        self, base: Path, facts: BaseFacts, machine: schema.Machine, keep_bf16: bool = False
    ) -> "IndexTTS2Model":
        import torch

        device, shape = torch.device(machine.device), indextts2_files.read_settings(base)["gpt"]
        core = loading.opened(base, shape, self.edition, keep_bf16)
        return self._model()(core.to(device), facts, base, device, shape, self._tokenizer(base))

    def open_voice(self, base: Path, facts: BaseFacts, machine: schema.Machine) -> IndexTTS2Voice:
        """Upstream's own load, which can be had in its interpreter only."""
        import torch

        device, shape = torch.device(machine.device), indextts2_files.read_settings(base)["gpt"]
        upstream = self._upstream(base, device)
        return self.voice(upstream.gpt, facts, base, device, shape, upstream)

    def open_encoder(self, base: Path, facts: BaseFacts, machine: schema.Machine) -> IndexTTS2Encoder:
        """As `open_voice`: upstream has no other."""
        import torch

        device = torch.device(machine.device)
        return self.encoder(self._upstream(base, device), facts, device)

    def config(self, base: Path) -> Mapping[str, Any] | None:
        return indextts2_files.read_settings(base).get("gpt")

    def sketch(self, config: Mapping[str, Any], base: Path | None) -> Sketch:
        """The published trainer, too, works on stored features."""
        import torch

        tokenizer = None if base is None else self._tokenizer(base)
        core, device = sketch.built(config, self.edition), torch.device("cpu")
        model = self._model()(core, None, base or Path(), device, config, tokenizer)  # type: ignore[arg-type]
        return Sketch(model, codec=0, caches=0)

    def positions_per_s(self, config: Mapping[str, Any]) -> float:
        return self.edition.codes_per_s

    def load_adapter(self, directory: Path) -> "dict[str, torch.Tensor]":
        return peft_files.read(directory)

    def _model(self) -> "type[IndexTTS2Model]":
        from voicelathe.families.indextts2.model import IndexTTS2Model

        return IndexTTS2Model

    def _upstream(self, base: Path, device: "torch.device") -> Any:
        return synthesis.open_upstream(base, device)

    def _tokenizer(self, base: Path) -> Any:
        return indextts2_text.tokenizer(base)


FAMILY: Family = IndexTTS2Family()
