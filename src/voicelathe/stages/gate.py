"""What the gate stage decides: the suite over the splits, consent of every speaker, and the pass that training needs.

The report is written first, whatever it says; only then does a failure stop the pipeline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np

from voicelathe import digest, layout, lines, records
from voicelathe.config import schema
from voicelathe.data import columns, consent
from voicelathe.data.columns import Rows
from voicelathe.data.gate import line_leaks, report, suite, table
from voicelathe.data.gate.line_leaks import Leaks
from voicelathe.data.gate.suite import Check, GateVerdict
from voicelathe.data.near_duplicates import leakage
from voicelathe.errors import ConsentError, GateError
from voicelathe.records import CleanClip, ClipMeasure

SHOWN_IDS = 5


@dataclass(frozen=True)
class Data:
    """What the gate reads, as records or as their columns. `inputs` are the files it came from, with their sha256."""

    splits: Mapping[str, Rows]  # CleanClip
    rows: Rows  # ManifestRow
    measures: Rows  # ClipMeasure
    packs: line_leaks.Packs
    inputs: Mapping[str, str]


def packs(settings: schema.Params, validation: Rows) -> line_leaks.Packs:
    """The lines that are recorded, by the path of their pack; of the validation split, records only of the clips that lines name.

    Raises LinesError when a held-out line is none of that split.
    """
    import pyarrow.compute as pc

    named = {line.clip_id for _, pack in lines.packs(settings) for line in pack if line.clip_id}
    clips = columns.of(validation, CleanClip)
    at = np.flatnonzero(columns.mask(pc.is_in(clips["clip_id"], columns.strings(named))))
    return lines.recorded(settings, columns.rows_of(clips, CleanClip, at))


def decide(data: Data, limits: schema.Gate, policy: str, on: date, out: Path) -> records.Passed:
    """Write report.json and report.html into `out`, and passed.json only when nothing critical failed.

    Raises GateError with the checks that failed and the first clips of each, or ConsentError with every speaker's problems.
    """
    (out / "passed.json").unlink(missing_ok=True)
    same = _performances(data.measures, limits)
    leaks = line_leaks.of_splits(data.splits, data.packs)
    verdict = suite.judge(table.of_splits(data.splits, data.rows, data.measures, same, leaks), limits)
    before = suite.judge(table.of_manifest(data.rows, data.measures, same, data.packs), limits)
    speakers = languages_of(data.splits)
    refused = [text for name in speakers for text in consent.problems(name, "train", on, speakers[name])]
    is_open = not verdict.failures and (not refused or policy == "research")
    digest.write_json(
        out / "report.json", _report(is_open, policy, verdict, before, refused, leaks, data.inputs)
    )
    digest.write_text(
        out / "report.html", report.render(verdict, before, policy, sorted(speakers), refused, leaks)
    )
    _require(verdict, leaks, limits, out)
    if refused and policy == "required":
        raise ConsentError(
            f"The gate is closed: no valid consent for training, see {out / 'report.html'}:\n"
            + "\n".join(f"  {text}" for text in refused)
        )
    passed = records.Passed(
        splits={name: data.inputs[layout.split(name).as_posix()] for name in layout.SPLITS},
        policy=policy,
        speakers=consent.digests(speakers),
        inputs=dict(data.inputs),
    )
    digest.write_json(out / "passed.json", records.to_json(passed))
    return passed


def look(rows: Rows, measures: Rows, limits: schema.Gate, page: Path, packs: line_leaks.Packs) -> GateVerdict:
    """Judge the raw manifest alone, divided row by row, and write the page; nothing is stopped and nothing is passed."""
    same = _performances(measures, limits)
    verdict = suite.judge(table.of_manifest(rows, measures, same, packs), limits)
    digest.write_text(page, report.render_raw(verdict))
    return verdict


def failures(verdict: GateVerdict) -> list[str]:
    """One line for each critical check that failed, with the first clips."""
    return [_failure(check, verdict.num_rows) for check in verdict.failures]


def languages_of(splits: Mapping[str, Rows]) -> dict[str, list[str]]:
    """The languages that each speaker is used in."""
    used: dict[str, set[str]] = {}
    for clips in splits.values():
        said = columns.of(clips, CleanClip).group_by(["speaker_id", "language"]).aggregate([])
        for speaker, language in zip(
            said["speaker_id"].to_pylist(), said["language"].to_pylist(), strict=True
        ):
            used.setdefault(speaker, set()).add(language)
    return {speaker: sorted(languages) for speaker, languages in sorted(used.items())}


def _performances(measures: Rows, limits: schema.Gate) -> dict[str, list[str]]:
    known = columns.of(measures, ClipMeasure)
    return leakage.performances(known, limits.max_fingerprint_error, limits.min_twin_share)


def _require(verdict: GateVerdict, leaks: Leaks, limits: schema.Gate, out: Path) -> None:
    if not verdict.failures:
        return
    lines = "\n".join(f"  {line}" for line in failures(verdict))
    raise GateError(
        f"The gate is closed: {len(verdict.failures)} of {len(verdict.checks)} checks failed, see {out / 'report.html'}:\n{lines}\n"
        f"The audit let these rows through. Correct the data or a threshold under audit or gate in params.yaml, then: dvc repro"
        + _leaking(verdict, leaks, limits)
    )


def _leaking(verdict: GateVerdict, leaks: Leaks, limits: schema.Gate) -> str:
    """The lines that were trained on, with their rows, and what to do; nothing when there are none."""
    if all(check.name != suite.LINE_IN_TRAINING for check in verdict.failures):
        return ""
    return "\nThere are " + line_leaks.explained(line_leaks.beyond(leaks.lines, limits.max_text_overlap))


def _failure(check: Check, num_rows: int) -> str:
    if not check.clip_ids:
        return f"{check.name}: found {check.observed or 'other values'}, expected {check.limits}"
    more = ", ..." if check.num_unexpected > SHOWN_IDS else ""
    return f"{check.name}: {check.num_unexpected} of {num_rows} rows, {', '.join(check.clip_ids[:SHOWN_IDS])}{more}"


def _report(
    is_open: bool,
    policy: str,
    verdict: GateVerdict,
    before: GateVerdict,
    refused: Sequence[str],
    leaks: Leaks,
    inputs: Mapping[str, str],
) -> dict[str, object]:
    return {
        "passed": is_open,
        "policy": policy,
        "consent_problems": list(refused),
        "splits": asdict(verdict),
        "raw_manifest_split_by_rows": asdict(before),
        "lines": {"looked_for": leaks.num_lines, "in_training": [asdict(one) for one in leaks.lines]},
        "validation_texts": {
            "looked_for": leaks.num_validation,
            "found": leaks.num_validation_leaks,
            "in_training": [asdict(one) for one in leaks.validation],
        },
        "inputs": dict(inputs),
    }
