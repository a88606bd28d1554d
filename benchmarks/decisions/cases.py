"""Which fine-tunes is a decision tried on? Several voices, LoRA and full, rates from too low to ruinous, clean and dirty rows.

The embedded base was trained on flite's rms, slt and kal16 and speaks as rms where nobody tells it otherwise; its codec copies awb badly.
So towards slt and kal16 a checkpoint comes nearer and pays with words, towards rms there is nowhere to go, and towards awb the words
suffer. `demo` is the corpus of the demo, whoever speaks in it. The base of a `worn` case has lost words, as one has that barely knows a
language: there training truly helps. `expected` is a guess for whoever plans a run: no number uses it, the oracle says what was so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

HELPS, NONE, OPEN = "helps", "none", "open"
LORA, FULL = "mini-lora", "mini-full"  # recipes of params.yaml that the edits start from
DEMO = "demo"  # in place of a voice: the corpus in data/demo as it is; other voices are spoken by flite


@dataclass(frozen=True)
class Case:
    """One fine-tune. `edits`: place below the recipe -> value."""

    name: str
    voice: str
    start: str
    expected: str
    edits: Mapping[str, object] = field(default_factory=dict)
    dirty: bool = False
    worn: bool = False  # the base's weights hold noise: it lost words that training can bring back

    @property
    def project(self) -> str:
        return f"{self.voice}-{'dirty' if self.dirty else 'worn' if self.worn else 'clean'}"


def _rate(value: float) -> dict[str, object]:
    return {"train/learning_rate": value}


# In the order in which they are made: the first four hold a voice that can be reached, one that cannot, and a ruined one.
CASES = (
    Case("demo-lora", DEMO, LORA, OPEN),
    Case("slt-lora", "slt", LORA, NONE),
    Case("slt-lora-ruinous", "slt", LORA, OPEN, _rate(5e-3)),
    Case("awb-full", "awb", FULL, NONE),
    Case("slt-full", "slt", FULL, OPEN),
    Case("demo-full", DEMO, FULL, OPEN),
    Case("demo-lora-timid", DEMO, LORA, NONE, _rate(2e-5)),
    Case("slt-lora-gentle", "slt", LORA, OPEN, _rate(1e-4)),
    Case("kal16-lora", "kal16", LORA, NONE),
    Case("kal16-full", "kal16", FULL, OPEN),
    Case("rms-lora-gentle", "rms", LORA, NONE, _rate(1e-4)),
    Case("rms-full-ruinous", "rms", FULL, NONE, _rate(1e-3)),
    Case("demo-lora-dirty", DEMO, LORA, OPEN, dirty=True),
    Case("slt-lora-dirty", "slt", LORA, OPEN, dirty=True),
    Case("awb-lora", "awb", LORA, NONE),
    Case("rms-lora-ruinous", "rms", LORA, NONE, _rate(5e-3)),
    Case("slt-full-long", "slt", FULL, HELPS, {"train/steps": 120, "train/checkpoint_every": 20}),
    Case("demo-full-worn", DEMO, FULL, HELPS, _rate(1e-4), worn=True),
    Case("slt-full-worn", "slt", FULL, HELPS, _rate(1e-4), worn=True),
    Case("kal16-full-worn", "kal16", FULL, HELPS, _rate(1e-4), worn=True),
    Case("slt-lora-worn", "slt", LORA, HELPS, worn=True),
    Case("demo-lora-worn", DEMO, LORA, HELPS, worn=True),
    Case("awb-full-worn", "awb", FULL, HELPS, _rate(1e-4), worn=True),
    Case("rms-full-worn", "rms", FULL, HELPS, _rate(1e-4), worn=True),
)
