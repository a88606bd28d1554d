"""LoRA or full fine-tune: the sentence that the evidence carries, and losses that may not be ranked are not."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import evaluations as make
from voicelathe import digest, records
from voicelathe.errors import RecordError
from voicelathe.evaluate.compare import comparing
from voicelathe.evaluate.compare import page as comparison_page
from voicelathe.evaluate.report import exclusions
from voicelathe.records import Candidate, Figure, FigureRecord, RunRecord
from voicelathe.stages import selection

LORA = make.candidates(10, 20)
FULL = make.candidates(10, 20, scale=None)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def finished(
    root: Path,
    recipe: str,
    known: list[Candidate],
    best: float,
    likeness: float | None = 0.9,
    trained: bool = True,
    cer: dict[str, float | None] | None = None,
    **identity: Any,
) -> comparing.Outcome:
    """A recipe whose last step has this total (the base has 1.0) and this likeness; real clips have 0.85 at least."""
    rows = make.paired_losses(
        {one: {"diff": (best if one.step == 20 else 1.0) - 0.1, "stop": 0.1} for one in known}
    )
    spoken = make.samples(known, make.MANY, root=root, seconds=0.2)
    folder = make.write_run(root / "made", known, rows, spoken)
    mode = "lora" if known[1].lora_scale else "full"
    run = records.read_one(folder / "run.json", RunRecord)
    train = replace(run.identity.train, mode=mode)  # type: ignore[arg-type]
    own = replace(run, recipe=recipe, identity=replace(run.identity, train=train, **identity))
    digest.write_json(folder / "run.json", records.to_json(own))
    figure = FigureRecord(
        Figure("similarity", "cosine", "higher", "wrong_speaker", ""),
        "speaker",
        0.8,
        None,
        0.92,
        0.85,
        0.97,
        [0.85, 0.92, 0.97],
    )
    heard = {one.name: likeness if one.step else 0.5 for one in known}
    measures = make.measures(spoken, cer=cer, likeness=heard, noise=0.0)
    digest.write_json(
        folder / "metrics.json", records.to_json(replace(measures, figures=[measures.figures[0], figure]))
    )
    digest.write_json(root / "data/latents/voxcpm2-mini/base.json", records.to_json(make.base_facts(trained)))
    digest.write_json(root / "data/latents/voxcpm2-mini/ceiling.json", records.to_json(make.ceiling()))
    (root / "runs").mkdir(exist_ok=True)
    folder.rename(root / "runs" / recipe)
    chosen, _ = selection.select(recipe, replace(make.SELECT, vetoes=[]), root, "")
    digest.write_json(root / "runs" / recipe / "selection.json", records.to_json(chosen))
    return comparing.read(recipe, root)


def said(root: Path, *outcomes: comparing.Outcome) -> str:
    return "\n".join(comparing.conclusions(outcomes, root))


def test_an_adapter_that_comes_no_nearer_sends_back_to_the_data_however_low_its_loss(root: Path) -> None:
    text = said(root, finished(root, "mini-lora", LORA, best=0.7, likeness=0.5))
    assert "not shown to bring the voice nearer to the speaker (step 20: likeness +0.000" in text
    assert "The data or the recipe is wrong; a full fine-tune is not the next step." in text


def test_an_adapter_within_real_recordings_carries_the_identity(root: Path) -> None:
    text = said(root, finished(root, "mini-lora", LORA, best=0.8, likeness=0.9))
    assert (
        "moved the right way (step 20: likeness +0.400, 90 % interval" in text and "; ships step 20." in text
    )
    assert (
        "the voice is at 0.90, within real recordings of the speaker (0.85 and above): the adapter carries the identity"
        in text
    )


def test_an_adapter_below_real_recordings_asks_for_more_before_a_full_fine_tune(root: Path) -> None:
    text = said(root, finished(root, "mini-lora", LORA, best=0.8, likeness=0.6))
    assert (
        "does not reach the identity: first a longer run or a higher rank; a full fine-tune if that does not help"
        in text
    )


def test_an_adapter_that_is_no_nearer_than_the_base_is_not_called_an_improvement(root: Path) -> None:
    text = said(root, finished(root, "mini-lora", LORA, best=0.8, likeness=0.51))
    assert "The adapter does not bring it nearer than the base's 0.50: first a longer run" in text


@pytest.mark.parametrize(
    ("total", "likeness", "sentence"),
    [
        (0.7, 0.95, "The adapter is the bottleneck"),
        (0.7, 0.91, "Loss and voice disagree: listen before you decide"),
        (0.7, 0.7, "Loss and voice disagree"),
        (0.85, 0.7, "The adapter is not the bottleneck: stay with LoRA"),
    ],
)
def test_whether_the_adapter_is_the_bottleneck(
    root: Path, total: float, likeness: float, sentence: str
) -> None:
    lora = finished(root, "mini-lora", LORA, best=0.8, likeness=0.9)
    full = finished(root, "mini-full", FULL, best=total, likeness=likeness)
    for order in ((lora, full), (full, lora)):
        text = said(root, *order)
        figures = f"likeness {likeness:.3f} against 0.900; loss {total - 0.8:+.4f}, 95 %"
        assert sentence in text and f"mini-full against mini-lora: {figures}" in text
        assert "loss on other speakers" in text


@pytest.mark.parametrize(
    ("lora", "full", "sentence"),
    [
        (0.5, 0.9, "Only the full fine-tune is shown to be better than the base: take it"),
        (0.9, 0.5, "Only the adapter is shown to be better than the base: stay with LoRA"),
    ],
)
def test_where_only_one_of_both_ships_the_losses_are_not_asked(
    root: Path, lora: float, full: float, sentence: str
) -> None:
    found = [
        finished(root, "mini-lora", LORA, best=0.8, likeness=lora),
        finished(root, "mini-full", FULL, best=0.8, likeness=full),
    ]
    assert sentence in said(root, *found)


def test_likeness_and_words_are_those_of_the_report_and_the_base_is_the_one_to_beat(root: Path) -> None:
    one = finished(root, "mini-lora", LORA, best=0.8, likeness=0.9)
    levels = {name: exclusions.of(one.selection, name).levels for name in (one.shown, one.selection.base)}
    row = dict(zip(comparison_page.COLUMNS, comparison_page.cells(one), strict=True))
    assert row["likeness"] == f"{levels[one.shown]['likeness'].mean:.3f}" == "0.900"
    assert row["likeness of the base"] == f"{levels[one.selection.base]['likeness'].mean:.3f}" == "0.500"
    assert row["words kept"] == f"{levels[one.shown]['words'].mean:.3f}"
    assert row["words kept by the base"] == f"{levels[one.selection.base]['words'].mean:.3f}"


def test_where_the_voice_was_not_measured_loss_alone_does_not_decide(root: Path) -> None:
    lora = finished(root, "mini-lora", LORA, best=0.8, likeness=None)
    text = said(root, lora, finished(root, "mini-full", FULL, best=0.7, likeness=None))
    assert (
        "Loss alone does not say whether the adapter is the bottleneck: listen" in text
        and "disagree" not in text
    )


def test_losses_of_other_bases_or_clips_are_never_ranked(root: Path) -> None:
    lora = finished(root, "mini-lora", LORA, best=0.8)
    other = finished(root, "mini-full", FULL, best=0.5, base_digest="e" * 64)
    assert comparing.against(lora, other, root) is None
    text = said(root, lora, other)
    assert "their losses cannot be ranked" in text and "bottleneck" not in text
    elsewhere = replace(other, run=lora.run, validation_sha256="c" * 64)
    assert comparing.against(lora, elsewhere, root) is None
    told = lora.run.identity
    controlled = replace(
        other, run=replace(lora.run, identity=replace(told, train=replace(told.train, control=True)))
    )
    assert comparing.against(lora, controlled, root) is None, "the texts of their losses are not the same"


def test_a_recipe_that_is_not_finished_is_named_with_its_file(root: Path) -> None:
    with pytest.raises(RecordError, match=r"runs/nothing/run\.json is missing"):
        comparing.read("nothing", root)


def test_the_page_holds_evidence_samples_and_the_table_of_decisions(root: Path) -> None:
    outcomes = [finished(root, "mini-lora", LORA, best=0.8), finished(root, "mini-full", FULL, best=0.7)]
    page = comparison_page.render(outcomes, root)
    assert page == comparison_page.render(outcomes, root)
    for sentence in comparing.conclusions(outcomes, root):
        assert sentence.split(":")[0] in page
    assert page.count('class="player"') == 4 * len(make.MANY), (
        "two recipes, each with the base and its candidate"
    )
    assert "http" not in re.sub(r'xmlns="[^"]+"', "", page.split("<main>")[1].split("<script")[0])


def test_a_recipe_that_is_not_nearer_is_marked_at_its_likeness_and_not_at_its_loss(root: Path) -> None:
    cells = comparison_page.cells(finished(root, "mini-lora", LORA, best=0.7, likeness=0.5))
    named = dict(zip(comparison_page.COLUMNS, cells, strict=True))
    assert named["likeness against the base"] == "+0.000 (not shown)"
    assert named["lowest loss against the base"] == "\u22120.3000"
    silent = comparison_page.cells(finished(root, "mini-full", FULL, best=0.7, likeness=None))
    assert dict(zip(comparison_page.COLUMNS, silent, strict=True))["likeness against the base"] == "\u2013"


def test_what_lost_its_words_is_said_not_to_ship_although_it_came_nearer(root: Path) -> None:
    ruined = {one.name: 0.5 for one in LORA[1:]}
    text = said(root, finished(root, "mini-lora", LORA, best=0.7, likeness=0.9, cer=ruined))
    assert "moved the right way" in text and "; nothing ships: every checkpoint is excluded." in text


def test_the_table_of_decisions_is_the_documented_one() -> None:
    text = (Path(__file__).parents[2] / "docs/choosing.md").read_text()
    assert all(
        f"| {situation} | {start} | {further} |" in text
        for situation, start, further in comparison_page.DECISIONS
    )


def test_recipes_that_were_heard_with_other_settings_are_not_compared_in_silence(root: Path) -> None:
    lora, full = finished(root, "lora", LORA, 0.5), finished(root, "full", FULL, 0.6)
    usual = comparing.conclusions([lora, full], root)
    assert not any("other settings" in one for one in usual)
    spoken = {**full.selection.decoding, "steps": 20.0}
    other = replace(full, selection=replace(full.selection, decoding=spoken))
    (told,) = [one for one in comparing.conclusions([lora, other], root) if "other settings" in one]
    assert (
        "lora: guidance 2, max_length_ratio 6, steps 10; full: guidance 2, max_length_ratio 6, steps 20"
        in told
    )
