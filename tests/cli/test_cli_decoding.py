"""`voicelathe decoding`: what it says of settings that were tried, what it writes, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome, Run
from tests.evaluate.test_racing import GUARDS, table
from tests.factories import runs
from voicelathe import records
from voicelathe.cli.recipes import decoding as command
from voicelathe.config import params
from voicelathe.evaluate import guards
from voicelathe.records import DecodingSweep, DecodingTime, DecodingTimes
from voicelathe.stages.decoding import grid, verdict

GRID = {"steps": [6.0, 10.0]}
OWN = {"steps": 10.0, "guidance": 2.0, "max_length_ratio": 6.0}
STEP = "step_0000040@1"
WAYS = {grid.named(STEP, GRID, one): one for one in grid.crossed(GRID, OWN)}
USED, FEW = WAYS


def swept(likeness: float, num: int = 96, **changes: object) -> DecodingSweep:
    """A record of two settings; the one with fewer steps has this likeness, and the one in use 0.8."""
    found = table(num, {}, {FEW: likeness}, names=[USED, FEW])
    against = guards.bar(found, USED, GUARDS, {})
    evidence = guards.judge(list(WAYS), against, {}, {})
    tried = verdict.tried(evidence, against, {name: (STEP, one, one["steps"]) for name, one in WAYS.items()})
    better, cheaper = verdict.recommended(tried)
    lines = runs.pack({f"l{number}": f"Line {number}." for number in range(num)})
    made = DecodingSweep(
        recipe="mini-lora", run_digest="a" * 64, selected=STEP, checkpoints=[STEP], grid=GRID, in_use=USED, tried=tried,
        better=better, cheaper=cheaper, lines=lines, known_lines=[], seeds=[42], error_rate=0.05, rounds=[], ended="all_lines",
        num_samples=2 * num, exhaustive=2 * num, metrics=[records.MetricRun("recogniser", "measured", "")], inputs={},
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


TIMES = DecodingTimes("mini-lora", "cpu", 1, 2, [DecodingTime(USED, 9, 0.5), DecodingTime(FEW, 9, 0.42)])


def told(record: DecodingSweep, capsys: pytest.CaptureFixture[str], write: bool = False) -> str:
    command._recommend(params.load(), record, TIMES, write)
    return capsys.readouterr().out


def test_a_record_is_read_back_as_it_was_written() -> None:
    record = swept(0.8)
    assert records.from_json(DecodingSweep, records.to_json(record), "here") == record


def test_a_setting_that_is_as_good_and_cheaper_is_recommended_by_its_count_and_the_time_is_said_beside_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = told(swept(0.8), capsys)
    assert f"As good and cheaper: {FEW}: likeness " in said and "90 % interval" in said
    assert "6 steps instead of 10, 1.7 times fewer" in said
    assert "measured 0.42 s of computing for a second of speech instead of 0.50" in said
    assert "recipes.mini-lora.speak: {steps: 6, guidance: 2.0, max_length_ratio: 6.0}" in said


def test_where_nothing_is_shown_it_stays(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("params.yaml").read_bytes()
    assert "so it stays" in told(swept(0.8, num=8), capsys, write=True)
    assert Path("params.yaml").read_bytes() == before


def test_set_writes_what_changed_and_keeps_comments(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("params.yaml").read_text().splitlines()
    said = told(swept(0.84), capsys, write=True)
    after = Path("params.yaml").read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == 1, changed
    old, new = changed[0]
    assert new.replace("  #", " #") == old.replace("steps: 10", "steps: 6") and "#" in new
    assert f"Better: {FEW}" in said and f"As good and cheaper: {FEW}" in said
    assert "listen and the selection run again" in said and "dvc repro track@mini-lora" in said
    assert params.load().recipes["mini-full"].speak == OWN, "the other recipe keeps its own"


def test_the_table_fits_a_screen_and_shows_the_setting_in_use_first() -> None:
    from voicelathe.cli import screen

    lines = screen.plain("mini-lora", command.COLUMNS, command._rows(swept(0.8), TIMES)).splitlines()
    assert max(map(len, lines)) <= 100, lines
    assert lines[2].endswith("in use") and "as good, cheaper" in lines[3] and "0.42" in lines[3]


def test_lines_that_the_decision_heard_make_the_gain_optimistic_and_that_is_said() -> None:
    record = swept(0.8)
    assert not [one for one in command._told(record, TIMES) if "optimistic" in one]
    known = replace(record, known_lines=["l1", "l2"])
    assert any(
        "2 of 96 lines are of the pack that the step was chosen on" in one
        for one in command._told(known, TIMES)
    )


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    runs.finished(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(done: Outcome, *parts: str) -> None:
    assert done.code == 1 and "Traceback" not in done.err
    for part in parts:
        assert part in done.err, done.err


def test_a_setting_that_the_family_does_not_have_is_refused_with_those_it_has(
    finished: Path, run: Run
) -> None:
    refused(
        run("decoding", "mini-lora", "--grid", "temperature=0.7"),
        "RequestError: --grid has 1 problem", "temperature: no such setting; there are steps, guidance, max_length_ratio",
    )  # fmt: skip


def test_a_value_out_of_range_is_refused_with_its_limits(finished: Path, run: Run) -> None:
    refused(run("decoding", "mini-lora", "--grid", "guidance=0,2"), "guidance = 0: must be from 0.1 to 10")


def test_without_a_selection_it_says_what_makes_one(project: Path, run: Run) -> None:
    refused(
        run("decoding", "mini-lora"),
        "SelectionError: runs/mini-lora/selection.json is missing",
        "dvc repro select",
    )


def test_a_pack_and_a_number_of_lines_are_not_both_taken(finished: Path, run: Run) -> None:
    refused(run("decoding", "mini-lora", "--num", "8", "--lines", "lines/demo.jsonl"), "Give one of them")


def test_set_is_refused_where_another_recipe_shares_the_settings(finished: Path, run: Run) -> None:
    path = Path("params.yaml")
    own, shared = path.read_text(), "speak: {steps: 10, guidance: 2.0, max_length_ratio: 6.0}"
    first = own.replace(shared, shared.replace("speak: {", "speak: &ways {"), 1)
    at = first.rindex(shared)
    path.write_text(first[:at] + "speak: *ways" + first[at + len(shared) :])
    refused(
        run("decoding", "mini-lora", "--set"),
        "ParamsError: recipes.mini-lora.speak is shared in params.yaml with recipes.mini-full by an anchor",
    )
