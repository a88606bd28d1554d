"""A plan against a card: what is added up, when it does not fit, which one setting is named; the command line and the picture."""

import json
import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Run, project, run  # noqa: F401
from tests.plan.test_rehearsal import rehearsed, train_settings
from voicelathe.config import checks, params, schema
from voicelathe.errors import ParamsError, RequestError
from voicelathe.plan import cards, forecast, picture, text
from voicelathe.stages import preflight

PARAMS = params.load(ROOT / "params.yaml")
ONE = PARAMS.recipes["mini-full"]


@pytest.mark.parametrize("asked, size", [("24GiB", 24 * 2**30), ("16 GB", 16 * 10**9), ("rtx3090ti", 24 * 2**30), ("NVIDIA RTX-4090", 24 * 2**30)])  # fmt: skip
def test_a_card_is_a_size_or_a_name(asked: str, size: int) -> None:
    card, speed_of = cards.parse(asked)
    assert card.bytes == size and speed_of.startswith("RTX")


@pytest.mark.parametrize("driver_says, name", [("NVIDIA H100 80GB HBM3", "H100"), ("NVIDIA H200", "H200"), ("NVIDIA GeForce RTX 3090 Ti", "RTX 3090 Ti")])  # fmt: skip
def test_a_card_is_known_by_the_name_that_its_driver_gives(driver_says: str, name: str) -> None:
    card = cards.named(driver_says)
    assert card is not None and card.name == name
    assert cards.named("NVIDIA H100 PCIe") is None, "another, slower card"


@pytest.mark.parametrize("asked", ["24", "big", "-1GiB", "0GiB", ""])
def test_anything_else_is_refused_with_what_can_be_said(asked: str) -> None:
    with pytest.raises(RequestError, match="24GiB, or one of"):
        cards.parse(asked)


def planned(size: int, **changes: object) -> tuple[forecast.Plan, schema.Recipe]:
    found = rehearsed(train_settings("full"))
    one = replace(ONE, train=train_settings("full", **changes))
    card = replace(cards.parse("24GiB")[0], bytes=size, context=1000)
    return forecast.forecast(PARAMS, "x", one, found, card, "RTX 3090 Ti"), one


def test_everything_on_the_card_is_added_up_and_decides() -> None:
    generous, _ = planned(10**9)
    assert generous.fits and generous.total == sum(generous.memory.values()) and generous.longest_pass_s > 60
    assert generous.memory["optimizer"] == 8 * rehearsed(train_settings("full")).num_parameters
    exact, _ = planned(generous.total)
    short, _ = planned(generous.total - 1)
    assert exact.fits and not short.fits and short.longest_pass_s < generous.longest_pass_s


def test_paged_moments_lie_on_the_host_of_a_card_and_nowhere_else_on_a_cpu() -> None:
    one = replace(ONE, train=train_settings("full", optimizer="paged_adamw8bit"))
    found = replace(
        rehearsed(train_settings("full")), paged=1000
    )  # nothing of so small a model would be paged
    on_card = forecast.forecast(PARAMS, "x", one, found, cards.parse("24GiB")[0], "")
    on_cpu = forecast.forecast(PARAMS, "x", one, found, cards.CPU_SPEED, "")
    assert on_card.host == found.paged > 0 and on_cpu.host == 0
    assert on_cpu.memory["optimizer"] == on_card.memory["optimizer"] + found.paged == found.moments


def test_judging_checkpoints_on_the_same_card_is_counted_and_elsewhere_it_is_not() -> None:
    early = schema.EarlyStopping(patience=2, lines=4)
    plain, _ = planned(10**9)
    beside, one = planned(10**9, early_stopping=early)
    found = rehearsed(train_settings("full"))
    extra = beside.memory[forecast.EARLY]
    assert plain.memory[forecast.EARLY] == 0 and beside.total == plain.total + extra
    assert extra >= 1000 + 4 * found.num_parameters, "a context and all weights in fp32"
    elsewhere, _ = planned(10**9, early_stopping=replace(early, device="cpu"))
    assert elsewhere.total == plain.total
    tight, _ = planned(beside.total - 1, early_stopping=early)
    assert beside.fits and not tight.fits
    offered = dict(forecast.changes(one.train))
    first, second = list(offered)[:2]
    assert first.startswith("train.early_stopping.device: cpu") and second == "train.early_stopping: null"
    assert offered[second].early_stopping is None
    on_cpu = forecast.forecast(PARAMS, "x", one, found, cards.CPU_SPEED, "")
    assert on_cpu.memory[forecast.EARLY] > 0, "the host holds both"


def test_disk_counts_every_checkpoint_that_is_kept() -> None:
    few, _ = planned(10**9, steps=10, checkpoint_every=4)
    assert "3 checkpoints" in few.disk  # 4, 8 and the last
    found = rehearsed(train_settings("full"))
    assert few.disk["3 checkpoints"] == 3 * found.checkpoint


def test_the_changes_keep_every_rule_of_params_yaml() -> None:
    for mode in ("full", "lora"):
        for weights in ("fp32", "bf16" if mode == "lora" else "bf16_split8"):
            optimizer = "adamw" if weights == "fp32" else "adamw8bit"
            train = train_settings(
                mode, weights=weights, optimizer=optimizer, clips_per_step=4, clips_per_pass=4
            )
            for what, changed in forecast.changes(train):
                assert changed != train and what.startswith("train.")
                one = replace(ONE, train=changed, evaluate=replace(ONE.evaluate, lora_scales=[1.0]))
                assert list(checks.of_recipe("x", one, PARAMS)) == []


def test_a_step_takes_the_longer_of_the_cards_work_and_the_time_to_ask_for_it() -> None:
    found, one = rehearsed(train_settings("full")), replace(ONE, train=train_settings("full"))
    card = cards.NAMED["h100"]
    asked = forecast.LAUNCH_S * (found.passes * sum(k.count for k in found.kernels) + found.update_kernels)
    tiny = forecast.forecast(PARAMS, "x", one, found, card, "")
    assert tiny.step_s == pytest.approx(asked, abs=1e-4), "a small model gives a large card nothing to do"
    slow = replace(card, bandwidth=1e6)
    assert forecast.forecast(PARAMS, "x", one, found, slow, "").step_s > 100 * asked
    on_cpu = forecast.forecast(PARAMS, "x", one, found, replace(card, is_host=True), "")
    assert on_cpu.step_s < tiny.step_s


def test_the_time_of_a_step_is_that_of_one_gpu_s_own_passes() -> None:
    train = train_settings("full", clips_per_step=4, clips_per_pass=1)
    found, one, card = rehearsed(train), replace(ONE, train=train), cards.NAMED["h100"]
    assert found.passes == 4
    alone, shared = (
        forecast.forecast(
            replace(PARAMS, machine=replace(PARAMS.machine, processes=n)), "x", one, found, card, ""
        ).step_s
        for n in (1, 4)
    )
    update = forecast.LAUNCH_S * found.update_kernels
    assert shared - update == pytest.approx((alone - update) / 4, rel=0.02)


def test_what_is_offered_for_several_gpus_passes_the_checks_of_one_machine_and_of_several() -> None:
    train = train_settings("full", weights="fp32", optimizer="adamw", clips_per_step=8, clips_per_pass=4)
    for machines in (1, 2):
        known = replace(
            PARAMS, machine=replace(PARAMS.machine, processes=2), nodes=replace(PARAMS.nodes, count=machines)
        )
        offered = dict(forecast.changes(train, 2, machines))
        assert ("train.shard: true" in offered) == (machines == 1)
        if machines == 1:
            sharded = replace(ONE, train=offered["train.shard: true"])
            assert not [line for line in checks.of_recipe("x", sharded, known) if "shard" in line]
    heard = replace(train, shard=True, reference_share=0.5)
    assert "train.reference_share: 0.0" in dict(forecast.changes(heard, 2, 1))


@pytest.mark.slow
def test_the_workspace_of_cudas_kernels_is_not_taken_from_a_cpu() -> None:
    one = replace(ONE, train=train_settings("full", weights="bf16_split16", optimizer="adamw8bit"))
    one = replace(one, train=replace(one.train, activation_checkpointing="all"))
    card = cards.NAMED["h100"]
    on_card, on_cpu = (
        forecast.forecast(PARAMS, "x", one, rehearsed(one.train, 10.0, not c.is_host), c, "")
        for c in (card, replace(card, is_host=True))
    )
    assert on_card.memory["workspace"] > 0 == on_cpu.memory["workspace"]
    assert on_cpu.memory["activations"] > on_card.memory["activations"], (
        "another moment is the worst one there"
    )


@pytest.mark.slow
def test_a_card_without_bf16_is_refused_by_name_for_what_needs_it() -> None:
    t4 = cards.named("Tesla T4")
    assert t4 is not None and t4.name == "T4"
    refused = {
        weights: cards.refusal(t4, train_settings("full", weights=weights, optimizer="adamw8bit"))
        for weights in ("fp32", "bf16_split16")
    }
    assert refused["fp32"] is None and "weights: bf16_split16" in str(refused["bf16_split16"])
    assert "autocast: true" in str(cards.refusal(t4, train_settings("lora", autocast=True)))
    assert cards.refusal(cards.NAMED["rtx3060"], train_settings("lora", autocast=True)) is None
    one = replace(ONE, train=train_settings("full", autocast=True))
    settings = replace(PARAMS, recipes={"x": one})
    made = forecast.plan(settings, "x", t4, t4.name, 3.0, report=print)
    assert not made.fits and made.refused is not None and made.total < made.card_bytes
    assert text.rows([made])[-5] == ["fits", "NO"]
    assert any("no bf16" in line for line in text.notes([made]))


def test_the_manual_names_every_card_that_is_known() -> None:
    manual = (ROOT / "docs/plan.md").read_text(encoding="utf-8")
    listed = manual[manual.index("`--card` knows") : manual.index(" by name, and any size")]
    words = {card.name.removeprefix("RTX ").split(" 16 GB")[0] for card in cards.NAMED.values()}
    assert all(word in listed for word in words), words


def test_windows_does_not_page_what_does_not_fit(tmp_path: Path) -> None:
    version = tmp_path / "version"
    version.write_text("Linux version 5.15.167.4-microsoft-standard-WSL2 (root@f9c826d3017f)\n")
    assert cards.in_wsl(version) and not cards.in_wsl(tmp_path / "none")
    version.write_text("Linux version 6.1.0-28-amd64 (debian-kernel@lists.debian.org)\n")
    assert not cards.in_wsl(version)
    found = replace(rehearsed(train_settings("full")), paged=1000)
    card = cards.NAMED["rtx3090"]
    paging, fixed = (
        forecast.forecast(PARAMS, "x", ONE, found, one, "") for one in (card, replace(card, can_page=False))
    )
    assert fixed.memory["optimizer"] == paging.memory["optimizer"] + 1000 and (paging.host, fixed.host) == (
        1000,
        0,
    )


@pytest.mark.parametrize("capability, is_there", [("7.5", False), ("8.6", True), ("[N/A]", True)])
def test_the_driver_says_whether_a_card_has_bf16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capability: str, is_there: bool
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(FAKE_SMI.format(mebibytes=8192, reserved=0).replace("echo", OF_CAPABILITY % capability, 1))
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = cards.present(replace(PARAMS.machine, device="cuda"))
    assert found is not None and found.has_bf16 == is_there and found.bytes == 2**33


def test_apples_gpu_is_refused_by_name() -> None:
    tree = params.read_yaml(ROOT / "params.yaml")
    tree["machine"]["device"] = "mps"
    with pytest.raises(ParamsError, match=r"mps.*Apple's GPUs are not supported.*NVIDIA"):
        params.check(tree, "params.yaml")


FAKE_SMI = "#!/bin/sh\necho 'NVIDIA GeForce RTX 3090, {mebibytes}, {reserved}'\n"
OF_CAPABILITY = 'case "$*" in *compute_cap*) echo "%s"; exit;; esac; echo'


@pytest.mark.parametrize(
    "total, reserved, mebibytes",
    [("24576", "318", 24258), ("24576", "[N/A]", 24576), ("[N/A]", "[N/A]", None)],
)
def test_what_the_driver_keeps_of_a_card_is_not_planned_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: str, reserved: str, mebibytes: int | None
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(FAKE_SMI.format(mebibytes=total, reserved=reserved))
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = cards.present(replace(PARAMS.machine, device="cuda"))
    wanted = None if mebibytes is None else (mebibytes * 2**20, cards.NAMED["rtx3090"].bandwidth)
    assert (found and (found.bytes, found.bandwidth)) == wanted


@pytest.mark.slow
def test_preflight_refuses_what_the_card_cannot_hold_and_names_one_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cuda = replace(PARAMS, machine=replace(PARAMS.machine, device="cuda"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.setattr(forecast.layout, "latents", lambda base: tmp_path / "nothing")
    (tmp_path / "bin").mkdir()
    smi = tmp_path / "bin/nvidia-smi"
    monkeypatch.setenv("PATH", f"{smi.parent}{os.pathsep}{os.environ['PATH']}")
    one = replace(ONE, train=replace(ONE.train, activation_checkpointing="none"))
    found, _ = forecast.rehearse(on_cuda, one.base, one.train, "mini-full", True)
    needs = forecast.forecast(on_cuda, "mini-full", one, found, cards.NAMED["rtx3090"], "").total
    for mebibytes, refused in ((needs // 2**20 + 1, False), (needs // 2**20 - 8, True)):
        smi.write_text(FAKE_SMI.format(mebibytes=mebibytes, reserved=0))
        smi.chmod(0o755)
        again, reasons = preflight._fits(on_cuda, "mini-full", one)
        assert again == found and bool([r for r in reasons if r.startswith("memory:")]) == refused
        if refused:
            assert "change train.activation_checkpointing: all" in reasons[0]


def test_the_picture_is_svg_with_a_bar_for_each_recipe_and_says_what_does_not_fit() -> None:
    fits, _ = planned(10**9)
    tight, _ = planned(fits.total - 1)
    drawn = picture.draw([replace(fits, recipe="good"), replace(tight, recipe="<bad>")])
    root = ET.fromstring(drawn)
    words = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"good", "<bad>"} <= set(words) and any("does not fit" in (one or "") for one in words)
    assert set(picture.COLOURS) == set(fits.memory)


def test_the_table_has_every_kind_and_the_notes_name_the_change() -> None:
    fits, _ = planned(10**9)
    table = {row[0]: row[1] for row in text.rows([fits])}
    assert table["fits"] == "yes" and table["weights"] == f"{fits.memory['weights'] / 1e9:.2f}"
    broken = replace(fits, fits=False, card_bytes=1, remedy="train.weights: bf16")
    assert any("Change: train.weights: bf16" in line for line in text.notes([broken]))


@pytest.mark.slow
def test_plan_prints_draws_and_gives_json_for_the_shipped_recipes(project: Path, run: Run) -> None:  # noqa: F811
    (project / "data").symlink_to(ROOT / "data")
    told = run("plan", "mini-lora", "--card", "24GiB", "--clip-s", "3", "--picture", project / "p.svg")
    assert told.code == 0 and "fits" in told.out and "computed" in told.out, told.told
    assert ET.parse(project / "p.svg").getroot().tag.endswith("svg")
    again = run("plan", "mini-lora", "--clip-s", "3", "--json")
    (found,) = json.loads(again.out)
    assert (
        found["recipe"] == "mini-lora" and found["fits"] and found["total"] == sum(found["memory"].values())
    )


def test_plan_of_an_unknown_recipe_or_card_is_one_line(project: Path, run: Run) -> None:  # noqa: F811
    for arguments in (["nothing"], ["--card", "huge"], [project / "none.yaml"]):
        told = run("plan", *arguments)
        assert told.code == 1 and "Error" in told.err and "Traceback" not in told.err
