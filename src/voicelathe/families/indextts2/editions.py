"""Where IndexTTS2 and IndexTTS 2.5 differ in files, rates and names. Importable without torch.

Sources: config.yaml and gpt.pth of the published models, `infer_v2.py` and `infer_v2_5.py` of upstream at the commit in envs/indextts2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voicelathe.families.indextts2 import multilingual

CODEC = "codec.pth"
EMOTION = ("emo_conditioning_encoder.", "emo_perceiver_encoder.", "emo_layer.", "emovec_layer.")


@dataclass(frozen=True)
class Edition:
    """One of the two."""

    name: str
    version: str  # how `version` in config.yaml begins
    repository: str  # of the published model
    codes_per_s: float
    tokenizer: str  # its file
    pickles: tuple[str, ...]  # read by upstream alone, besides those that both have
    frozen: tuple[
        str, ...
    ]  # how tensors of encoders begin: what they make of a clip is computed once, and they go through every checkpoint
    voice: str  # the tensor of a clip that says whose voice it is
    languages: int  # rows of a table; 0: none
    own: tuple[
        str, ...
    ]  # tensors of gpt.pth, besides those that both have, that are trained or belong to what is

    @property
    def download(self) -> str:
        return f"huggingface-cli download {self.repository} --local-dir DIR"


TWO = Edition(
    name="IndexTTS2", version="2.0", repository="IndexTeam/IndexTTS-2", codes_per_s=50.0, tokenizer="bpe.model", pickles=(),
    frozen=("conditioning_encoder.", "perceiver_encoder.", *EMOTION), voice="condition", languages=0, own=("speed_emb.weight",),
)  # fmt: skip
TWO_FIVE = Edition(
    name="IndexTTS 2.5", version="2.5", repository="IndexTeam/IndexTTS-2.5", codes_per_s=25.0, tokenizer=multilingual.VOCABULARY,
    pickles=(CODEC,), frozen=EMOTION, voice="speaker", languages=multilingual.NUM_ROWS,
    own=("lang_embedding.weight", "spk_emb_proj.weight", "spk_emb_proj.bias"),
)  # fmt: skip
ALL = (TWO, TWO_FIVE)


def of(settings: Mapping[str, Any], has_codec: bool) -> Edition | None:
    """The edition of a model directory; None for a later one. `has_codec`: codec.pth, which came with 2.5, lies in it."""
    said = settings.get("version")
    if said is None:
        return TWO_FIVE if has_codec else TWO
    found = next((one for one in ALL if str(said).startswith(one.version)), None)
    return None if found is TWO and has_codec else found
