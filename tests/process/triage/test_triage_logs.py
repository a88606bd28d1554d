"""Logs of trainings that died: the class, what it rests on, and what is never advised. The class is the last word of a file's name."""

from pathlib import Path

import pytest

from voicelathe.process.triage import logs, remedies

FOLDER = Path(__file__).parent / "logs"
KINDS = {
    "weights": remedies.WEIGHTS,
    "activations": remedies.ACTIVATIONS,
    "gradients": remedies.GRADIENTS,
    "state": remedies.STATE,
    "growth": remedies.GROWTH,
    "host": remedies.HOST,
    "none": None,
}


def find(name: str) -> logs.LogFinding:
    (path,) = FOLDER.glob(f"{name}.*.log")
    return logs.read(path.read_text())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.log")), ids=lambda path: path.stem)
def test_a_log_is_put_into_its_class_with_evidence_and_remedies(path: Path) -> None:
    found = logs.read(path.read_text())
    assert found.kind == KINDS[path.stem.split(".")[-1]]
    if found.kind is None:
        assert found.remedy is None and found.text().startswith("No memory failure in this log.")
        return
    assert found.evidence and found.remedy is not None and found.remedy.helps and found.remedy.cannot
    assert found.kind in found.text() and "1. " in found.text() and "cannot help" in found.text()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.log")), ids=lambda path: path.stem)
def test_what_a_finding_says_of_the_log_is_true(path: Path) -> None:
    """It used to say that nothing was logged, or that there is no traceback, where both stood there in another form."""
    text = path.read_text()
    said = logs.read(text).text()
    if "no line before it looks like" in said:
        assert "loss" not in text.lower().split("traceback")[0]
    if "nothing before it says" in said:
        assert "Traceback" not in text


def test_the_corpus_holds_forty_forms_of_the_trainers_and_machines_that_people_use() -> None:
    names = " ".join(path.stem for path in FOLDER.glob("*.log"))
    assert len(list(FOLDER.glob("*.log"))) >= 60
    for one in (
        "coqui",
        "zipvoice",
        "cosyvoice",
        "gpt-sovits",
        "f5-tts",
        "ms-swift",
        "unsloth",
        "lightning",
        "accelerate",
        "slurm",
    ):
        assert one in names
    for one in ("docker", "kubernetes", "old-kernel", "rich-box", "interleaved", "indented-paste"):
        assert one in names


def test_every_class_has_a_log_of_its_own() -> None:
    assert {path.stem.split(".")[-1] for path in FOLDER.glob("*.log")} == set(KINDS)


@pytest.mark.parametrize("trainer", remedies.REMEDIES)
def test_every_trainer_has_a_remedy_for_every_class(trainer: str) -> None:
    assert set(remedies.REMEDIES[trainer]) == set(KINDS.values()) - {None}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.log")), ids=lambda path: path.stem)
def test_an_eight_bit_optimizer_is_advised_for_optimizer_state_only(path: Path) -> None:
    found = logs.read(path.read_text())
    if found.remedy is not None and found.kind != remedies.STATE:
        assert not [
            one for one in found.remedy.helps if "8-bit" in one or one.startswith("train.optimizer: paged")
        ]


@pytest.mark.parametrize(
    "name, trainer",
    [
        ("voxcpm-full-first-forward", remedies.VOXCPM),
        ("qwen-first-step", remedies.QWEN),
        ("plain-bitsandbytes", remedies.UNKNOWN),
        ("ours-optimizer", remedies.OURS),
        ("kernel-killed", remedies.VOXCPM),
    ],
)
def test_the_trainer_is_recognised_so_that_the_settings_are_its_own(name: str, trainer: str) -> None:
    assert find(name).trainer == trainer


def test_of_several_ranks_and_a_launcher_that_cleans_up_the_first_failure_counts() -> None:
    found = find("voxcpm-full-optimizer-four-ranks")
    assert any("line 9:" in one for one in found.evidence) and not any(
        "Killed" in one for one in found.evidence
    )


def test_another_program_on_the_card_is_named() -> None:
    assert any("another program holds 15.8 GiB" in one for one in find("voxcpm-loading").evidence)


def test_fragmentation_is_told_by_the_amounts_even_in_the_first_forward() -> None:
    assert any(
        "4.9 GiB were reserved but unused" in one for one in find("voxcpm-fragmented-first-forward").evidence
    )


def test_a_first_forward_says_that_it_may_have_been_a_later_pass() -> None:
    assert any("second 26 GB" in one for one in find("voxcpm-full-first-forward").evidence)


def test_what_a_log_without_memory_failure_ended_with_is_shown() -> None:
    assert any("FileNotFoundError" in one for one in find("talks-about-memory").evidence)
    assert any("training went on" in one for one in find("recovered-then-finished").evidence)


def test_a_progress_bar_that_overwrites_its_line_is_read() -> None:
    bar = "0%| | 0/90 [00:00<?]\r3%| | 3/90 [00:06<02:54]\rTraceback (most recent call last):\n  loss.backward()\n"
    found = logs.read(bar + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert found.kind == remedies.GROWTH


def test_a_finding_of_ours_is_read_back_from_its_own_message() -> None:
    from voicelathe.process import triage

    for name, step, micro in (
        ("load", 0, 0),
        ("forward", 1, 0),
        ("forward", 1, 1),
        ("optimizer", 1, 0),
        ("backward", 5, 0),
    ):
        message = triage.of_memory(
            {"name": name, "step": step, "micro": micro}, "CUDA out of memory", Path("x.log")
        )
        assert logs.read(f"WorkerError: {message}\n").kind == triage.memory_class(name, step, micro)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("slurm-preempted", "DUE TO TIME LIMIT"),
        ("nccl-watchdog", "watchdog thread terminated"),
        ("bus-error", "Bus error"),
        ("loss-is-no-number", "the loss is no number here"),
        ("empty", "the log is empty"),
    ],
)
def test_a_log_without_memory_failure_says_how_it_ended(name: str, said: str) -> None:
    assert any(said in one for one in find(name).evidence), find(name).evidence


def test_an_exception_whose_message_stands_on_the_next_line_is_shown_with_it() -> None:
    found = logs.read(
        "Traceback (most recent call last):\nRuntimeError: \n\n    CUDA Setup failed despite GPU being available.\n"
    )
    assert any("CUDA Setup failed" in one for one in found.evidence)


def test_no_colour_of_a_terminal_is_left_in_the_evidence() -> None:
    assert "\x1b" not in find("colours-of-a-terminal").text()


def test_a_log_of_power_shell_is_read(tmp_path: Path) -> None:
    from voicelathe.cli.machine import memory

    path = tmp_path / "train.log"
    path.write_text((FOLDER / "colours-of-a-terminal.growth.log").read_text(), encoding="utf-16")
    assert logs.read(memory._end_of(path)).kind == remedies.GROWTH
