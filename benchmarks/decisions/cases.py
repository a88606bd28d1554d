"""Which fine-tunes is a decision tried on? Several voices, LoRA and full, rates from too low to ruinous, clean and dirty rows.

The embedded base was trained on flite's rms, slt, kal16 and awb and voices made of them, and speaks in a voice of its own choice where
nobody tells it otherwise; `demo` is the corpus of the demo, whose speaker it has not heard. The base of a `worn` case has lost words, as
one has that barely knows a language: there training can bring some back. Who truly helps, the oracle says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

LORA, FULL = "mini-lora", "mini-full"  # recipes of params.yaml that the edits start from
DEMO = "demo"  # in place of a voice: the corpus in data/demo as it is; other voices are spoken by flite


@dataclass(frozen=True)
class Case:
    """One fine-tune. `edits`: place below the recipe -> value."""

    name: str
    voice: str
    start: str
    edits: Mapping[str, object] = field(default_factory=dict)
    dirty: bool = False
    worn: bool = False  # the base's weights hold noise: it lost words that training can bring back

    @property
    def project(self) -> str:
        return f"{self.voice}-{'dirty' if self.dirty else 'worn' if self.worn else 'clean'}"


def _rate(value: float) -> dict[str, object]:
    return {"train/learning_rate": value}


# In the order in which they are made.
CASES = (
    Case("demo-lora", DEMO, LORA),
    Case("slt-lora", "slt", LORA),
    Case("slt-lora-ruinous", "slt", LORA, _rate(5e-3)),
    Case("awb-full", "awb", FULL),
    Case("slt-full", "slt", FULL),
    Case("demo-full", DEMO, FULL),
    Case("demo-lora-timid", DEMO, LORA, _rate(2e-5)),
    Case("slt-lora-gentle", "slt", LORA, _rate(1e-4)),
    Case("kal16-lora", "kal16", LORA),
    Case("kal16-full", "kal16", FULL),
    Case("rms-lora-gentle", "rms", LORA, _rate(1e-4)),
    Case("rms-full-ruinous", "rms", FULL, _rate(1e-3)),
    Case("demo-lora-dirty", DEMO, LORA, dirty=True),
    Case("slt-lora-dirty", "slt", LORA, dirty=True),
    Case("awb-lora", "awb", LORA),
    Case("rms-lora-ruinous", "rms", LORA, _rate(5e-3)),
    Case("slt-full-long", "slt", FULL, {"train/steps": 120, "train/checkpoint_every": 20}),
    Case("rms-full-worn", "rms", FULL, _rate(6e-5), worn=True),
    Case("rms-lora-worn", "rms", LORA, worn=True),
)
