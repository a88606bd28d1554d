"""`voicelathe triage`: a log in, a class with evidence and remedies out."""

from pathlib import Path

from tests.cli.conftest import ROOT, Run


def test_triage_prints_class_evidence_and_remedies(run: Run) -> None:
    told = run("triage", ROOT / "tests/process/triage/logs/voxcpm-full-first-backward.gradients.log")
    assert told.code == 0
    assert "Out of memory: gradients and casts (VoxCPM's trainer)" in told.out
    assert (
        "line 7: accelerator.backward" in told.out
        and "1. a `lora:` section" in told.out
        and "cannot help" in told.out
    )


def test_triage_of_a_file_that_is_not_there_says_what_to_give(run: Run, tmp_path: Path) -> None:
    told = run("triage", tmp_path / "nothing.log")
    assert told.code == 1 and "nothing.log cannot be read" in told.err and "Traceback" not in told.err


def test_triage_of_bytes_that_are_no_text_finds_nothing_and_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "core").write_bytes(bytes(range(256)) * 64)
    assert "No memory failure in this log." in run("triage", tmp_path / "core").out


def test_what_a_strangers_log_tells_the_terminal_to_do_is_shown_and_not_done(
    run: Run, tmp_path: Path
) -> None:
    log = tmp_path / "hostile.log"
    log.write_text("RuntimeError: \x1b]0;owned\x07\x1b[2J nothing \u202eelse\n")
    told = run("triage", log)
    assert told.code == 0 and "owned" in told.out
    assert not {"\x1b", "\x07", "\u202e"} & {*told.out} and "\\x1b[2J" in told.out
