"""What upstream's own UnifiedVoice makes of a checkpoint of ours, run by test_upstream_index.py in upstream's interpreter.

    PYTHONPATH=CHECKOUT:.:src PYTHON tests/families/indextts2/opened_by_indextts2.py BASE CHECKPOINT card|worker|full indextts2|indextts25

card: peft opens the adapter, as a model card says. worker: the steps of our own worker before it speaks. full: the weights, as it loads them.
The class is made ready to generate first, as upstream's `IndexTTS2` does.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from tests.families.indextts2 import official_indextts2, official_indextts25

OFFICIAL: dict[str, Any] = {"indextts2": official_indextts2, "indextts25": official_indextts25}


def main() -> None:
    from voicelathe.families.shared import torchaudio_shim

    torchaudio_shim.ensure()
    from indextts.gpt.model_v2 import UnifiedVoice

    base, checkpoint, way, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    from voicelathe.families.indextts2 import files

    shape = files.read_settings(base)["gpt"]
    official = OFFICIAL[name]
    model = UnifiedVoice(**shape, spk_cond_mode="campplus" if name == "indextts25" else "conformer")
    model.load_state_dict(official.factory.trained(shape), strict=False)
    model.eval().post_init_gpt2_config(kv_cache=True)
    {"card": _by_peft, "worker": _by_worker, "full": _in_full}[way](model, shape, checkpoint, name)
    found = [official.losses(model, clip) for clip in official.clips()]
    print(json.dumps(found))


def _by_peft(model: Any, shape: Any, checkpoint: Path, name: str) -> None:
    from peft import PeftModel

    PeftModel.from_pretrained(model, str(checkpoint))
    model.eval()


def _by_worker(model: Any, shape: Any, checkpoint: Path, name: str) -> None:
    from voicelathe import families
    from voicelathe.config import schema
    from voicelathe.families.indextts2 import loading
    from voicelathe.families.shared import parameter_groups
    from voicelathe.train import adapters

    family: Any = families.find(name)
    lora = schema.Lora(4, 8.0, 0.0, sorted(family.spec.scopes))
    adapters.inject(model, lora, parameter_groups.targets(loading.SCOPES, lora.scope), seed=1)
    adapters.load(model, family.load_adapter(checkpoint))
    model.eval()


def _in_full(model: Any, shape: Any, checkpoint: Path, name: str) -> None:
    from voicelathe.families.indextts2 import synthesis, synthesis25

    kinds: dict[str, Any] = {"indextts2": synthesis.IndexTTS2Voice, "indextts25": synthesis25.IndexTTS25Voice}
    kinds[name](model, None, checkpoint, torch.device("cpu"), shape, None).load_full(checkpoint)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
