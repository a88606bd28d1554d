"""Where things lie in a project. Stages name their own files; this is for what reads across stages (tracking, promotion, doctor)."""

import os
from pathlib import Path

CACHE = Path(".cache/voicelathe")  # per-clip results; safe to delete
ENVIRONMENTS = Path(".cache/environments")  # of families that need an interpreter of their own
CHECKPOINTS = Path("checkpoints")  # weights, live journals, spoken samples
CONSENT = Path("consent")
VERDICTS = Path("verdicts")
FROZEN_SPLITS = Path("splits")  # earlier splits that must hold, in git
LINES = Path("lines")  # packs of lines that are spoken, in git
REGISTRY = Path("registry")
MANIFEST = Path("data/raw/manifest.jsonl")
MEASURES = Path("data/measured/clips.parquet")
HEARD = Path("data/measured/heard.parquet")
FINDINGS = Path("data/audit/findings.parquet")
QUARANTINE = Path("data/audit/quarantine.jsonl")
SUMMARY = Path("data/audit/summary.json")
DATA_REPORT = Path("data/audit/report.html")
GATE = Path("data/gate/passed.json")
GATE_REPORT = Path("data/gate/report.html")
RAW_GATE_REPORT = CACHE / "raw-gate.html"  # of `voicelathe gate --report-only`; no stage reads it
COMPARISON = Path("runs/comparison.html")  # of `voicelathe compare`
RECOGNISER = Path("data/recogniser.json")  # of `voicelathe recogniser add`: sha256 of every file; in git
SPLITS = ("train", "validation", "test")
ASSIGNMENTS = Path("data/split/assignments.parquet")  # the split and the component of every recording


def in_project(path: Path) -> str:
    """A path as params.yaml names it: relative inside the project, absolute outside of it. Links are not resolved."""
    absolute, project = Path(os.path.abspath(path)), Path.cwd()  # noqa: PTH100
    return (absolute.relative_to(project) if absolute.is_relative_to(project) else absolute).as_posix()


def split(name: str) -> Path:
    return Path("data/split") / f"{name}.jsonl"


def base_record(base: str) -> Path:
    """What `voicelathe base add` found in a base directory: sha256 of every file, rates, size. In git."""
    return Path("data/bases") / f"{base}.json"


def latents(base: str) -> Path:
    """Directory of a base's cached encodings: shards/, index.parquet, base.json."""
    return Path("data/latents") / base


def ceiling(base: str) -> Path:
    """What the base's own codec leaves of real clips."""
    return latents(base) / "ceiling.json"


def general(base: str) -> Path:
    """Directory of the clips of other speakers: clips.jsonl, shards/, index.parquet."""
    return latents(base) / "general"


def run(recipe: str, file: str) -> Path:
    """An output of a recipe's stages: run.json, steps.jsonl, checkpoints.json, evaluations.jsonl, samples.jsonl, ..."""
    return Path("runs") / recipe / file


def weights(recipe: str, run_digest: str) -> Path:
    """Directory of one run's weights. Inside: step_0000100/, steps.jsonl, timings.jsonl, speech/<candidate>/<line>-<seed>-<key>.wav."""
    return CHECKPOINTS / recipe / run_digest[:16]
