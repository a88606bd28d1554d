"""The tables of a run as MLflow shows them: what its reports print, to sort and to filter."""

from functools import partial
from pathlib import Path
from typing import Any

from voicelathe import digest, layout, records
from voicelathe.evaluate.report import wording
from voicelathe.tracking.files import RunFiles


def of(files: RunFiles) -> dict[str, bytes]:
    """Name -> table; a table without rows is left out."""
    rows = {
        "candidates": _candidate_rows(files),
        "samples": _sample_rows(files),
        "metrics": _metric_rows(files.root / layout.run(files.run.recipe, "metrics.json")),
        "probes": _probe_rows(files.selection),
        "loss_weights": _weight_rows(files.selection),
        "listening": _listening_rows(files.selection),
        "speech": _speech_rows(files.selection),
        "prosody": _prosody_rows(files.selection),
        "codec_ceiling": _ceiling_rows(files.selection),
    }
    return {name: _shape(found) for name, found in rows.items() if found}


def _shape(rows: list[dict[str, Any]]) -> bytes:
    """The form in which MLflow's pages show a table (pandas' `split` orientation, as `mlflow.log_table` writes it)."""
    columns = list(rows[0]) if rows else []
    data = [[_shown(row[name]) for name in columns] for row in rows]
    return digest.canonical_json({"columns": columns, "data": data}).encode()


def _shown(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def _candidate_rows(files: RunFiles) -> list[dict[str, Any]]:
    ranked = {one.candidate: one for one in files.selection.ranking}
    components = sorted(
        {name for one in files.candidates if one.evaluation for name in one.evaluation.losses}
    )
    rows = []
    for shown in files.candidates:
        evaluation, place = shown.evaluation, ranked.get(shown.candidate.name)
        losses = evaluation.losses if evaluation else {}
        rows.append(
            {
                "candidate": shown.candidate.name,
                "selected": shown.candidate.name == files.selection.selected,
                "loss_total": evaluation.total if evaluation else None,
                **{f"loss_{name}": losses.get(name) for name in components},
                "behind_lowest": place.behind if place else None,
                "vetoes": ", ".join(place.vetoes) if place else "",
                "samples_stopped": f"{sum(one.stopped for one in shown.samples)} of {len(shown.samples)}",
                "checkpoint_sha256": shown.checkpoint.sha256,
                "bytes": shown.checkpoint.bytes,
            }
        )
    return rows


def _speech_rows(selection: records.Selection) -> list[dict[str, Any]]:
    """What was heard of every candidate: levels, guards against the base, gain in likeness."""
    asked = {guard.measure: None for one in selection.evidence for guard in one.guards}
    rows = []
    for one in selection.evidence:
        row: dict[str, Any] = {"candidate": one.candidate, "standing": one.standing, "lines": one.lines}
        row |= {
            measure: level.mean if (level := one.levels.get(measure)) else None
            for measure in ("words", "endings", "quality", "likeness")
        }
        tests = asked | {guard.measure: guard.test for guard in one.guards} | {"likeness": one.gain}
        for measure, test in tests.items():
            row |= {
                f"{measure}_against_base": test.difference if test else None,
                f"{measure}_low": test.interval.low if test else None,
                f"{measure}_high": test.interval.high if test else None,
            }
        gone = wording.dropped(one.dropped, partial(wording.spoken, selection)) if one.dropped else ""
        rows.append({**row, "dropped": gone})
    return rows


def _prosody_rows(selection: records.Selection) -> list[dict[str, Any]]:
    """How each candidate delivers its lines: means, and distances from the speaker's real clips in their deviations."""
    names = sorted({name for one in selection.prosody for name in one.figures})
    rows = []
    for one in selection.prosody:
        row: dict[str, Any] = {"candidate": one.candidate, "lines": one.lines}
        for name in names:
            found = one.figures.get(name)
            ends = found.interval if found else None
            row |= {
                name: found.median if found else None,
                f"{name}_distance": found.distance if found else None,
                f"{name}_low": ends.low if ends else None,
                f"{name}_high": ends.high if ends else None,
            }
        rows.append({**row, "findings": "; ".join(one.findings)})
    return rows


def _ceiling_rows(selection: records.Selection) -> list[dict[str, Any]]:
    """Real clips and what the base's codec leaves of them."""
    found = selection.ceiling
    return [
        {
            "measure": one.measure,
            "clips": one.lines,
            "real": found.originals[one.measure].mean,
            "copies": found.copies[one.measure].mean,
            "low": one.interval.low,
            "high": one.interval.high,
        }
        for one in (found.lost if found else [])
        if found is not None
    ]


def _metric_rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    measures = records.read_one(path, records.SpeechMeasures)
    names = [one.figure.name for one in measures.figures]
    return [
        {
            "candidate": one.candidate,
            "line": one.line_id,
            "seed": one.seed,
            **{name: one.values.get(name) for name in names},
            "vetoes": "; ".join(f"{code}: {said}" for code, said in sorted(one.vetoes.items())),
        }
        for one in measures.samples
    ]


def _sample_rows(files: RunFiles) -> list[dict[str, Any]]:
    dropped = ("path", "step", "lora_scale")
    rows = []
    for shown in files.candidates:
        for sample in shown.samples:
            listen = (
                None if sample.path is None else f"samples/{shown.title}/{sample.line_id}-{sample.seed}.wav"
            )
            plain = {key: value for key, value in records.to_json(sample).items() if key not in dropped}
            rows.append({**plain, "artifact": listen})
    return rows


def _probe_rows(selection: records.Selection) -> list[dict[str, Any]]:
    rows = []
    for one in selection.probes:
        plain = records.to_json(one)
        for name in ("text_gap_interval", "forgetting_interval"):
            ends = plain.pop(name)
            plain |= {
                f"{name}_low": ends["low"] if ends else None,
                f"{name}_high": ends["high"] if ends else None,
            }
        if (asked := plain.pop("controls", None)) is not None:
            plain |= {
                "control_kept": one.control_kept,
                **{f"{kept['kind']}_kept": kept["kept"] for kept in asked},
            }
        rows.append({**plain, "findings": "; ".join(one.findings)})
    return rows


def _weight_rows(selection: records.Selection) -> list[dict[str, Any]]:
    return [{**records.to_json(one), "candidates": ", ".join(one.candidates)} for one in selection.robustness]


def _listening_rows(selection: records.Selection) -> list[dict[str, Any]]:
    """Strengths, and each candidate against the nominee and the base."""
    heard = selection.listening
    rows = []
    for one in heard.strengths if heard else []:
        row: dict[str, Any] = {"candidate": one.candidate, "strength": one.strength}
        row |= {
            "low": one.interval.low if one.interval else None,
            "high": one.interval.high if one.interval else None,
        }
        for against, found in (
            (("nominee", heard.against_nominee), ("base", heard.against_base)) if heard else ()
        ):
            pair = next((two for two in found if two.candidate == one.candidate), None)
            row |= {
                f"win_rate_{against}": pair.win_rate if pair else None,
                f"p_{against}": pair.p_holm if pair else None,
            }
        rows.append(row)
    return rows
