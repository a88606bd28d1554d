"""Every gate of a promotion: closed for its own reason, named, and overridden only where a person may."""

import getpass
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import runs
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.errors import PromotionError
from voicelathe.records import sealed
from voicelathe.registry import gates

RECIPE = "mini-lora"


@pytest.fixture
def project(tmp_path: Path, finished_project: Path) -> Path:
    """A copy without any store: gates never ask MLflow."""
    return Path(shutil.copytree(finished_project, tmp_path / "project"))


def examine(root: Path, candidate: str | None = None) -> gates.Case:
    return gates.examine(RECIPE, root, gates.load_params(root), candidate)


def edit_json(root: Path, path: Path, **changes: object) -> None:
    digest.write_json(root / path, {**digest.read_json(root / path), **changes})


def weights(root: Path, step: int = 40) -> Path:
    run = records.read_one(root / layout.run(RECIPE, "run.json"), records.RunRecord)
    return root / run.directory / f"step_{step:07d}" / "lora_weights.safetensors"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_a_selected_candidate_with_everything_in_order_passes(project: Path) -> None:
    case = examine(project)
    assert case.objections == [] and case.shown.candidate.name == "step_0000040@1"
    assert gates.require(case, None) == []
    assert case.speakers == {"awb": ["en"]}
    assert {"consent/awb.json", "data/gate/passed.json", f"runs/{RECIPE}/selection.json"} <= set(case.inputs)


@pytest.mark.parametrize("wanted", ["40", "0000040", "40@1", "step_0000040@1"])
def test_a_candidate_is_named_by_its_step_too(project: Path, wanted: str) -> None:
    assert examine(project, wanted).shown.candidate.name == "step_0000040@1"


@pytest.mark.parametrize("wanted", ["0", "41", "40@0.5", "4 0", "-40", "@1"])
def test_no_candidate_is_guessed(project: Path, wanted: str) -> None:
    with pytest.raises(PromotionError, match="has no candidate"):
        examine(project, wanted)


def test_a_step_at_several_strengths_wants_the_strength(tmp_path: Path) -> None:
    runs.finished(tmp_path, scales=(0.35, 1.0))
    with pytest.raises(
        PromotionError, match=r"more than one .* step 40. There are: step_0000040@0.35, step_0000040@1"
    ):
        examine(tmp_path, "40")
    assert examine(tmp_path, "40@0.35").shown.candidate.lora_scale == 0.35


def not_shipped(root: Path) -> None:
    runs.select(root, RECIPE, "do_not_ship", None)


def nobody_heard(root: Path) -> None:
    runs.select(root, RECIPE, "not_heard", None)


def unfinished_evaluation(root: Path) -> None:
    path = root / layout.run(RECIPE, "evaluations.jsonl")
    records.write(path, records.read(path, records.EvaluationRecord)[:-1])
    runs.select(root, RECIPE, "ship", "step_0000040@1")


def never_spoke(root: Path) -> None:
    path = root / layout.run(RECIPE, "samples.jsonl")
    records.write(path, [one for one in records.read(path, records.SampleRecord) if one.step != 40])
    runs.select(root, RECIPE, "ship", "step_0000040@1")


def nobody_listened(root: Path) -> None:
    runs.select(root, RECIPE, "ship", "step_0000040@1", heard=False)


def heard_by(root: Path, *listeners: str) -> None:
    """As `verdict import` keeps it; nothing of a sitting but its listener is asked here."""
    made = [records.Sitting("x", RECIPE, "0" * 64, "0" * 64, one, "pair", [], "") for one in listeners]
    finished = [replace(one, digest=sealed.seal(one)) for one in made]
    verdict = records.Verdict(RECIPE, "0" * 64, "0" * 64, finished)
    digest.write_json(root / layout.VERDICTS / f"{RECIPE}.json", records.to_json(verdict))


def heard_by_whoever_promotes(root: Path) -> None:
    heard_by(root, f" {getpass.getuser().upper()}")


def edited_verdict(root: Path) -> None:
    heard_by(root, "anna")
    path = root / layout.VERDICTS / f"{RECIPE}.json"
    path.write_text(path.read_text().replace("anna", "berta"))


def other_audio(root: Path) -> None:
    flip(root / "data/demo/audio/1.opus")


def spoke_nothing(root: Path) -> None:
    path = root / layout.run(RECIPE, "samples.jsonl")
    spoken = records.read(path, records.SampleRecord)
    records.write(path, [replace(one, problem="silent") if one.step == 40 else one for one in spoken])
    runs.select(root, RECIPE, "ship", "step_0000040@1")


def other_decision_basis(root: Path) -> None:
    path = root / layout.run(RECIPE, "steps.jsonl")
    records.write(path, records.read(path, records.StepRecord)[:-1])


def no_gate(root: Path) -> None:
    (root / layout.GATE).unlink()


def other_data_passed(root: Path) -> None:
    passed = digest.read_json(root / layout.GATE)
    edit_json(root, layout.GATE, splits={**passed["splits"], "train": "0" * 64})


def data_changed_since(root: Path) -> None:
    records.write(root / layout.split("validation"), [runs.clip("validation", 99)])


def researched(root: Path) -> None:
    params.edit({"consent/policy": "research"}, root / "params.yaml")


def passed_for_research(root: Path) -> None:
    edit_json(root, layout.GATE, policy="research")


def trained_for_research(root: Path) -> None:
    """Consent came later, and the gate passed again: the weights are still those from before."""
    run = records.read_one(root / layout.run("mini-lora", "run.json"), records.RunRecord)
    digest.write_json(root / run.directory / "research.json", {})


def revoked(root: Path) -> None:
    edit_json(root, Path("consent/awb.json"), revoked_at="2026-06-01")


def not_for_cloning(root: Path) -> None:
    purposes = digest.read_json(root / "consent/awb.json")["purposes"]
    edit_json(root, Path("consent/awb.json"), purposes={**purposes, "clone": False})


def without_record(root: Path) -> None:
    (root / "consent/awb.json").unlink()


def non_commercial(root: Path) -> None:
    params.edit({f"bases/{runs.BASE}/licence": "CC-BY-NC-4.0"}, root / "params.yaml")


def flipped_weight(root: Path) -> None:
    flip(weights(root))


def lost_weights(root: Path) -> None:
    shutil.rmtree(weights(root).parent)


def extra_weight(root: Path) -> None:
    (weights(root).parent / "more.safetensors").write_bytes(b"x")


def flipped_base(root: Path) -> None:
    flip(root / "data/bases" / runs.BASE / "model.safetensors")


CLOSED: list[tuple[Callable[[Path], None], str, str, bool]] = [
    (not_shipped, "selection", "do_not_ship", True),
    (nobody_heard, "selection", "not_heard", True),
    (other_decision_basis, "selection", r"steps\.jsonl is not the file", False),
    (unfinished_evaluation, "evaluation", "step_0000060@1", False),
    (never_spoke, "listening", "never spoke", True),
    (spoke_nothing, "listening", "carrier: silent", True),
    (nobody_listened, "listening", r"nobody has judged.*verdict import mini-lora", True),
    (heard_by_whoever_promotes, "listening", "only .* has listened, who promotes this, too", True),
    (edited_verdict, "listening", "'berta' was changed after its import", False),
    (other_audio, "chain", r"1\.opus", False),
    (no_gate, "data gate", "is missing", False),
    (other_data_passed, "data gate", "the run was trained on", False),
    (data_changed_since, "data gate", r"validation\.jsonl has sha256", False),
    (researched, "consent", "policy = research", False),
    (passed_for_research, "consent", "policy = research", False),
    (trained_for_research, "consent", "voicelathe retrain mini-lora", False),
    (revoked, "consent", "revoked_at is 2026-06-01", False),
    (not_for_cloning, "consent", r"purposes\.clone", False),
    (without_record, "consent", r"awb\.json is missing", False),
    (non_commercial, "licence", "CC-BY-NC-4.0", False),
    (flipped_weight, "weights", "lora_weights", False),
    (lost_weights, "weights", "gone", False),
    (extra_weight, "weights", r"more\.safetensors", False),
    (flipped_base, "base", "not the base that was pinned", False),
]


def test_another_listener_beside_whoever_promotes_is_enough(project: Path) -> None:
    heard_by(project, getpass.getuser(), "anna")
    assert not examine(project, "step_0000040@1").objections


@pytest.mark.parametrize(
    "break_it, gate, message, waivable", CLOSED, ids=[case[0].__name__ for case in CLOSED]
)
def test_a_gate_closes_for_its_own_reason(
    project: Path, break_it: Callable[[Path], None], gate: str, message: str, waivable: bool
) -> None:
    break_it(project)
    case = examine(project, "step_0000040@1")
    assert {one.gate for one in case.objections} == {gate}
    with pytest.raises(PromotionError, match=rf"(?s){gate}: .*{message}"):
        gates.require(case, None)
    if waivable:
        assert gates.require(case, "heard by three people") == [gate]
    else:
        with pytest.raises(PromotionError, match=gate):
            gates.require(case, "I insist")


def test_another_candidate_than_the_selected_one_needs_a_reason(project: Path) -> None:
    case = examine(project, "step_0000020")
    with pytest.raises(PromotionError, match=r"(?s)step_0000040@1 was selected.*--because"):
        gates.require(case, None)
    assert gates.require(case, "warmer") == ["selection"]


def test_without_a_decision_to_ship_a_candidate_must_be_named(project: Path) -> None:
    runs.select(project, RECIPE, "do_not_ship", None)
    with pytest.raises(PromotionError, match=r"do_not_ship.*--candidate"):
        examine(project)


def test_an_unknown_candidate_is_told_the_names_there_are(project: Path) -> None:
    with pytest.raises(PromotionError, match=r"step_0000099.*There are: base, step_0000010@1"):
        examine(project, "step_0000099")


def test_all_closed_gates_are_named_at_once(project: Path) -> None:
    for break_it in (revoked, flipped_weight, no_gate):
        break_it(project)
    with pytest.raises(PromotionError) as caught:
        gates.require(examine(project), None)
    assert all(f"\n  {gate}: " in str(caught.value) for gate in ("consent", "weights", "data gate"))
    assert "--because" not in str(caught.value)


@pytest.mark.parametrize("licence", ["Apache-2.0", "MIT", "OpenRAIL-M", "bilibili-model-licence"])
def test_licences_that_allow_it_or_say_nothing_against_it_pass(project: Path, licence: str) -> None:
    params.edit({f"bases/{runs.BASE}/licence": licence}, project / "params.yaml")
    assert examine(project).objections == []


@pytest.mark.parametrize("licence", ["CC-BY-NC-SA-4.0", "cc_by_nc_4.0", "unknown", "Research-Only", " "])
def test_licences_that_forbid_it_or_are_not_known_stop_it(project: Path, licence: str) -> None:
    params.edit({f"bases/{runs.BASE}/licence": licence}, project / "params.yaml")
    assert [one.gate for one in examine(project).objections] == ["licence"]


def test_terms_beyond_a_notice_have_to_be_taken_on_with_a_reason() -> None:
    (found,) = gates._terms("indextts2")
    assert found.gate == "terms" and found.waivable
    assert "not be used to improve other AI models" in found.message and "--because" in found.message
    assert list(gates._terms("voxcpm2")) == []
