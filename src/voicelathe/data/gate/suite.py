"""The gate: a Great Expectations suite over raw columns, built from params.yaml; whatever fails here is not trained on.

The only place that imports great_expectations. Its expectations skip nulls and pass on empty tables, so every bound is paired
with a floor on the rows and a refusal of nulls; and a check that gave no result is a crash, never a verdict.
"""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from voicelathe.config import schema
from voicelathe.data import columns, mapped
from voicelathe.data.gate.table import Frame, Table, frame
from voicelathe.layout import SPLITS

ROWS_AT_ONCE = 1 << 17  # as a data frame; a run of Great Expectations takes half a second besides
NUM_IDS = 100  # kept of the clips that fail a check
MAX_CHARS = 100_000
ROWS_AT_FIRST = 2_000  # in which the first rows that fail are looked for
FILLED = {
    "clip_id": "the id",
    "split": "the split",
    "text": "the text",
    "num_spoken_chars": "the number of letters and digits",
    "duration_s": "the duration",
    "num_nonfinite": "the number of samples that are no number",
    "file_rate_hz": "the sample rate",
    "recording_id": "the source recording",
    "speaker_id": "the speaker",
    "matches_manifest": "whether the row is as in the raw manifest",
    "num_splits_of_recording": "the number of splits of the recording",
    "num_splits_of_audio": "the number of splits of the audio file",
    "num_splits_of_seconds": "the number of splits of its seconds",
    "num_splits_of_samples": "the number of splits of the samples",
    "num_splits_of_performance": "the number of splits of the performance",
    "line_overlap": "how much of a spoken line the training text holds",
    "training_overlap": "how much of the text stands in the training text",
}
LEAKS = {
    "num_splits_of_recording": "recording",
    "num_splits_of_audio": "audio file",
    "num_splits_of_seconds": "second of audio",
    "num_splits_of_samples": "exact copy",
    "num_splits_of_performance": "performance",
}
LINE_IN_TRAINING, VALIDATION_IN_TRAINING = "line_in_training", "validation_text_in_training"
ROWS, VALUES = "ExpectTableRowCountToBeBetween", "ExpectColumnDistinctValuesToEqualSet"
NOT_NULL, UNIQUE = "ExpectColumnValuesToNotBeNull", "ExpectColumnValuesToBeUnique"
BETWEEN, IN_SET = "ExpectColumnValuesToBeBetween", "ExpectColumnValuesToBeInSet"
OF_THE_WHOLE = (ROWS, VALUES, UNIQUE)  # the others judge row by row
MATCHES, MATCHES_NONE = "ExpectColumnValuesToMatchRegex", "ExpectColumnValuesToNotMatchRegexList"


@dataclass(frozen=True)
class Check:
    """One expectation and what it found."""

    name: str
    question: str
    severity: str  # critical | warning
    expectation: str  # Great Expectations' name
    limits: str
    passed: bool
    num_unexpected: int
    observed: str | None
    clip_ids: list[str]  # the first that fail, in the order of the table


@dataclass(frozen=True)
class GateVerdict:
    """All checks over one table."""

    num_rows: int
    checks: list[Check]

    @property
    def failures(self) -> list[Check]:
        """The checks that close the gate; a failed warning does not."""
        return [check for check in self.checks if not check.passed and check.severity == "critical"]


@dataclass(frozen=True)
class _Plan:
    """A check before it is run. `kind` and `limits` are those of Great Expectations."""

    name: str
    question: str
    kind: str
    limits: dict[str, Any]
    severity: str = "critical"


@dataclass(frozen=True)
class _Counted:
    """What became of a check on some rows, or on all of them."""

    passed: bool
    num_unexpected: int
    observed: str | None


def judge(table: Table, gate: schema.Gate) -> GateVerdict:
    """Run the suite. Raises RuntimeError when a check could not be run, which says nothing about the data."""
    plans = list(_plans(gate))
    found = _judged(table, plans)
    first = _first(plans, {name: one.num_unexpected for name, one in found.items()}, table)
    return GateVerdict(
        len(table), [_check(plan, found[plan.name], first.get(plan.name, [])) for plan in plans]
    )


def _judged(table: Table, plans: list[_Plan]) -> dict[str, _Counted]:
    """Row by row in some rows at a time, whose counts add up; what is asked of the table as a whole, of the columns that it takes."""
    whole = [plan for plan in plans if plan.kind in OF_THE_WHOLE]
    found = {name: _found(one) for name, one in _run(_whole(table), whole, "BASIC").items()}
    single = [plan for plan in plans if plan.kind not in OF_THE_WHOLE]
    for start in range(0, max(1, len(table)), ROWS_AT_ONCE):
        rows = frame(table.slice(start, ROWS_AT_ONCE))
        for name, result in _run(rows, single, "BASIC").items():
            one, before = _found(result), found.get(name, _Counted(True, 0, None))
            num = before.num_unexpected + one.num_unexpected
            found[name] = _Counted(before.passed and one.passed, num, one.observed)
        mapped.let_go()
    return found


def _whole(table: Table) -> Frame:
    """The names of the splits, and a number for every id."""
    import pandas

    code = columns.codes(table["clip_id"]).astype(float)
    code[code < 0] = np.nan
    return pandas.DataFrame({"split": table["split"].to_pandas(), "clip_id": code})


def _plans(gate: schema.Gate) -> Iterator[_Plan]:
    yield from _text_plans(gate)
    yield from _audio_plans(gate)
    for column, what in LEAKS.items():
        question = f"Is every {what} in one split only?"
        yield _Plan(
            f"one_split_per_{what.replace(' ', '_')}",
            question,
            BETWEEN,
            _of(column, min_value=1, max_value=1),
        )
    yield _Plan("enough_rows", "Are there enough rows?", ROWS, {"min_value": gate.min_rows})
    yield _Plan(
        "three_splits",
        "Does each of the three splits hold rows?",
        VALUES,
        _of("split", value_set=list(SPLITS)),
    )
    yield _Plan("unique_ids", "Has every clip its own id?", UNIQUE, _of("clip_id"))
    question = "Is every clip as the raw manifest has it?"
    yield _Plan("as_in_manifest", question, IN_SET, _of("matches_manifest", value_set=[True]))
    for column, what in FILLED.items():
        yield _Plan(f"{column}_given", f"Is {what} known for every row?", NOT_NULL, _of(column))


def _text_plans(gate: schema.Gate) -> Iterator[_Plan]:
    said = _of("num_spoken_chars", min_value=1, max_value=MAX_CHARS)
    yield _Plan("no_blank_text", "Is every text more than white space?", MATCHES, _of("text", regex=r"\S"))
    yield _Plan("no_empty_text", "Is there something to say in every text?", BETWEEN, said)
    unwanted = _of("plain_text", regex_list=list(gate.boilerplate))
    yield _Plan("no_boilerplate", "Is no text boilerplate?", MATCHES_NONE, unwanted)
    pace = _of("chars_per_s", min_value=gate.min_chars_per_s, max_value=gate.max_chars_per_s)
    yield _Plan("pace_given", "Is the pace known for every row?", NOT_NULL, _of("chars_per_s"), "warning")
    yield _Plan("pace", "Is every text as long as its audio?", BETWEEN, pace, "warning")
    line, said = (
        _of(name, min_value=0, max_value=gate.max_text_overlap)
        for name in ("line_overlap", "training_overlap")
    )
    yield _Plan(LINE_IN_TRAINING, "Is no spoken line in the training text?", BETWEEN, line)
    question = "Is no validation text in the training text?"
    yield _Plan(VALIDATION_IN_TRAINING, question, BETWEEN, said, "warning")


def _audio_plans(gate: schema.Gate) -> Iterator[_Plan]:
    length = _of("duration_s", min_value=gate.min_duration_s, max_value=gate.max_duration_s)
    yield _Plan("duration", "Is no clip too short or too long?", BETWEEN, length)
    rates = _of("file_rate_hz", value_set=list(gate.sample_rates_hz))
    yield _Plan("sample_rate", "Has every file an expected sample rate?", IN_SET, rates)
    finite = _of("num_nonfinite", min_value=0, max_value=0)
    yield _Plan("finite_samples", "Is every sample a finite number?", BETWEEN, finite)


def _of(column: str, **limits: Any) -> dict[str, Any]:
    return {"column": column, **limits}


def _run(table: Frame, plans: list[_Plan], result_format: str) -> dict[str, Any]:
    """Results by check. The context is ephemeral: a file context writes random ids and times."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    import great_expectations.expectations as kinds

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("data").add_dataframe_asset("clips")
    batch = asset.add_batch_definition_whole_dataframe("all")
    expectations = [
        getattr(kinds, plan.kind)(
            **plan.limits, severity=plan.severity, meta={"check": plan.name, "severity": plan.severity}
        )
        for plan in plans
    ]
    suite = context.suites.add(gx.ExpectationSuite(name="gate", expectations=expectations))
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name="gate", data=batch, suite=suite)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This pattern is interpreted as a regular expression")
        outcome = definition.run(
            batch_parameters={"dataframe": table}, result_format={"result_format": result_format}
        )
    return {result.expectation_config.meta["check"]: result for result in outcome.results}


def _found(result: Any) -> _Counted:
    """Raises RuntimeError when the check gave no result."""
    meta = result.expectation_config.meta
    if not result.result or _raised(result.exception_info):
        raise RuntimeError(f"the check {meta['check']} of the gate could not be run: {result.exception_info}")
    assert result.expectation_config.severity.value == meta["severity"]
    observed = result.result.get("observed_value")
    num = int(result.result.get("unexpected_count") or 0)
    return _Counted(bool(result.success), num, None if observed is None else str(observed))


def _check(plan: _Plan, found: _Counted, clip_ids: list[str]) -> Check:
    return Check(
        name=plan.name,
        question=plan.question,
        severity=plan.severity,
        expectation=plan.kind,
        limits=_shown(plan.limits),
        passed=found.passed,
        num_unexpected=found.num_unexpected,
        observed=found.observed,
        clip_ids=clip_ids,
    )


def _first(plans: list[_Plan], num_unexpected: dict[str, int], table: Table) -> dict[str, list[str]]:
    """For each check that rows fail, ids of the first of them in the order of the table.

    Great Expectations copies the whole result several times once it names places, so it is asked again about the start of the
    table, and about more of it while that holds too few; of ids that must be unique, about those that are there twice.
    """
    failing = [plan for plan in plans if num_unexpected[plan.name]]
    wanted = {plan.name: min(NUM_IDS, num_unexpected[plan.name]) for plan in failing}
    found: dict[str, list[str]] = {name: [] for name in wanted}
    for plan in (one for one in failing if one.kind == UNIQUE):
        code = columns.codes(table[plan.limits["column"]])
        twice = np.flatnonzero((code >= 0) & (np.bincount(code + 1)[code + 1] > 1))
        found |= _ids_in(columns.take(table, twice), [plan])
    start, size = 0, ROWS_AT_FIRST
    while left := [
        plan for plan in failing if plan.kind != UNIQUE and len(found[plan.name]) < wanted[plan.name]
    ]:
        assert start < len(table), "what was counted is found again"
        for name, ids in _ids_in(table.slice(start, size), left).items():
            found[name] += ids
        start, size = start + size, min(10 * size, ROWS_AT_ONCE)
    return {name: ids[:NUM_IDS] for name, ids in found.items()}


def _ids_in(table: Table, plans: list[_Plan]) -> dict[str, list[str]]:
    results = _run(frame(table), plans, "COMPLETE")
    places = {plan.name: list(results[plan.name].result.get("unexpected_index_list") or []) for plan in plans}
    return {name: [str(table["clip_id"][at]) for at in some[:NUM_IDS]] for name, some in places.items()}


def _raised(info: Any) -> bool:
    """Whether an expectation raised; the flag stands at the top, or below the id of the metric that raised."""
    if not isinstance(info, dict):
        return False
    return bool(info.get("raised_exception")) or any(_raised(one) for one in info.values())


def _shown(limits: dict[str, Any]) -> str:
    """Column and limits as people read them."""
    said = "given"
    if "max_value" in limits:
        said = f"{limits['min_value']:g} to {limits['max_value']:g}"
    elif "min_value" in limits:
        said = f"at least {limits['min_value']}"
    elif "regex" in limits:
        said = f"matches {limits['regex']}"
    for name, word in (("value_set", "one of"), ("regex_list", "matches none of")):
        if name in limits:
            said = f"{word} {', '.join(map(str, limits[name]))}"
    return f"{limits.get('column', 'rows')}: {said}"
