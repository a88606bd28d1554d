"""What does a fine-tune leave of a control, and what does replay keep of it? LoRAs of a base that follows (slow) and (fast).

Usage:  python -m benchmarks.bench_controls PROJECT STATE [--report]

PROJECT is a clone that nothing else uses; STATE is that of `python -m pretrain.controls`, finished. The base, a general set with controls
and three recipes are written into PROJECT, evaluated by its own stages (about an hour of one core), and read: control kept as `evaluate`
has it, and the words that Whisper tiny.en hears in the same samples. `--report` only reads.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from pretrain import controls, ears
from voicelathe import families, records
from voicelathe.config import schema
from voicelathe.data.manifest import ingest
from voicelathe.evaluate.scoring import controls as kept

ROOT = Path(__file__).parents[1]
BASE, GENERAL = "data/bases/told", "data/told"
SEED = 20260511  # of the project: the bootstrap's
TRAIN: Mapping[str, dict[str, Any]] = {
    "plain": {"steps": 120, "checkpoint_every": 60},
    "strong": {"steps": 240, "checkpoint_every": 240, "learning_rate": 8e-3},
    "strongmix": {"steps": 480, "checkpoint_every": 480, "learning_rate": 8e-3, "replay_share": 0.5, "replay_visits": 20},
}  # fmt: skip
LINES = {"plain": 24, "strong": 16, "strongmix": 16}


def prepare(project: Path, state: Path) -> None:
    """Base, general set, consent of its speakers (none of whom is a person) and recipes; what is there stays."""
    from ruamel.yaml import YAML

    if not (project / BASE).exists():
        controls.write(state, project / BASE)
    if not (project / GENERAL).exists():
        controls.general(project / GENERAL)
    manifest, audio = f"{GENERAL}/manifest.jsonl", f"{GENERAL}/audio"
    for line in (project / manifest).open(encoding="utf-8"):
        name = json.loads(line)["speaker_id"]
        record = json.loads((ROOT / "consent/lark.json").read_text()) | {"speaker_id": name}
        (project / f"consent/{name}.json").write_text(json.dumps(record))
    facts = families.find("voxcpm2").describe(project / BASE, "Apache-2.0", True)
    here = schema.Ingest(str(project / manifest), "0" * 64, str(project / audio), "0" * 64, "voicelathe", None, None, None)  # fmt: skip
    sha256, audio_digest = ingest.pins(here)
    yaml = YAML(typ="safe")
    known = yaml.load((ROOT / "params.yaml").read_text())
    known["general"] |= {
        "manifest": manifest,
        "audio_root": audio,
        "sha256": sha256,
        "audio_digest": audio_digest,
    }
    known["bases"] = {"told": next(iter(known["bases"].values())) | {"path": BASE, "digest": facts.digest}}
    first = known["recipes"]["mini-lora"]
    known["recipes"] = {}
    for name, train in TRAIN.items():
        one = copy.deepcopy(first) | {"base": "told"}
        one["train"] |= train
        one["evaluate"] |= {"control_lines": LINES[name]}
        known["recipes"][name] = one
    with (project / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(known, file)


def report(project: Path) -> None:
    """A row for each candidate."""
    print(
        "| recipe, candidate | kind | base's effect (99.5 %) | kept (95 %) | CER under slow, fast |\n|---|---|---|---|---|"
    )
    said = {
        one.clip_id: one.text
        for one in records.read(project / "data/split/validation.jsonl", records.CleanClip)
    }
    for name in TRAIN:
        run = records.read_one(project / f"runs/{name}/run.json", records.RunRecord)
        probed = records.read(project / f"runs/{name}/probes.jsonl", records.ProbeRecord)
        base = next(one for one in probed if one.candidate == "base")
        for one in probed:
            (pace,) = (found for found in kept.judge(base, one, SEED) or [] if found.kind == "pace")
            wrong = [error(project / run.directory / "controls" / one.candidate, word, said) for word in ("slow", "fast")]  # fmt: skip
            interval, share = pace.base_interval, pace.kept_interval
            assert interval and share and pace.kept is not None, "the base does not follow its control"
            print(
                f"| {name}, {one.candidate} | pace, {pace.num_lines} lines | {pace.base_effect:.2f} ({interval.low:.2f} to {interval.high:.2f}) | "
                f"{pace.kept:.2f} ({share.low:.2f} to {share.high:.2f}) | {wrong[0]:.2f}, {wrong[1]:.2f} |",
                flush=True,
            )


def error(folder: Path, word: str, said: Mapping[str, str]) -> float:
    """Mean character error rate of the samples under one control."""
    paths = sorted(folder.glob(f"pace-{word}-*.wav"))
    return float(
        np.mean(
            [
                ears.cer(said[path.name.split("-")[2]], soundfile.read(path, dtype="float32")[0])
                for path in paths
            ]
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--report", action="store_true", help="only read what was evaluated")
    asked = parser.parse_args()
    if not asked.report:
        prepare(asked.project, asked.state)
        env = {**os.environ, "PYTHONPATH": str(asked.project / "src"), "OMP_NUM_THREADS": "1"}
        stages = [f"evaluate@{name}" for name in TRAIN]
        subprocess.run(
            [sys.executable, "-m", "dvc", "repro", *stages], cwd=asked.project, env=env, check=True
        )
    report(asked.project)


if __name__ == "__main__":
    main()
