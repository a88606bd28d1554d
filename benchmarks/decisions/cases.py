"""Which fine-tunes is a decision tried on? Several voices, LoRA and full, rates from too low to ruinous, clean and dirty rows.

The embedded base was trained on flite's rms, slt, kal16 and awb and voices made of them, and speaks in a voice of its own choice where
nobody tells it otherwise; `demo` is the corpus of the demo, whose speaker it has not heard. Who truly helps, the oracle says.
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

    @property
    def project(self) -> str:
        return f"{self.voice}-{'dirty' if self.dirty else 'clean'}"


def _rate(value: float) -> dict[str, object]:
    return {"train/learning_rate": value}


# recipes/ruined.yaml, of which these are the parts that differ from mini-lora.
_RUINED: dict[str, object] = {
    **_rate(3e-3),
    "train/steps": 60,
    "train/lora": {"rank": 64, "alpha": 64.0, "dropout": 0.0, "scope": ["lm", "dit", "proj"]},
}

# In the order in which they are made.
CASES = (
    Case("demo-lora", DEMO, LORA),
    Case("slt-lora", "slt", LORA),
    Case("demo-full", DEMO, FULL),
    Case("awb-full", "awb", FULL),
    Case("demo-lora-ruinous", DEMO, LORA, _RUINED),
    Case("slt-full", "slt", FULL),
    Case("demo-lora-timid", DEMO, LORA, _rate(2e-5)),
    Case("awb-lora", "awb", LORA),
    Case("demo-full-ruinous", DEMO, FULL, _rate(1e-3)),
    Case("slt-lora-ruinous", "slt", LORA, _RUINED),
    Case("demo-lora-dirty", DEMO, LORA, dirty=True),
    Case("awb-full-timid", "awb", FULL, _rate(1e-6)),
    Case("slt-lora-timid", "slt", LORA, _rate(1e-4)),
    Case("slt-lora-dirty", "slt", LORA, dirty=True),
    Case("kal16-lora", "kal16", LORA),
    Case("kal16-full", "kal16", FULL),
    Case("slt-full-long", "slt", FULL, {"train/steps": 120, "train/checkpoint_every": 20}),
)
