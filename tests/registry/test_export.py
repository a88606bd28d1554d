"""What is given away: upstream's files with a card whose numbers are those of the records, and nothing that must stay here."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import runs
from voicelathe import digest, families, layout, records
from voicelathe.config import params
from voicelathe.errors import PromotionError, RequestError
from voicelathe.families import decoding
from voicelathe.registry import card, export, gates, promote
from voicelathe.runs import identity
from voicelathe.tracking import files as run_files

RECIPE, NAME = "mini-lora", "voicelathe"
AUDIT = {
    "rows": 40,
    "dropped": 10,
    "dropped_silent": 3,
    "dropped_empty_text": 8,
    "dropped_steady": 0,
    "dropped_share": 0.25,
}


@pytest.fixture
def files(tmp_path: Path, finished_project: Path) -> Path:
    root = Path(shutil.copytree(finished_project, tmp_path / "project"))
    digest.write_json(root / layout.SUMMARY, AUDIT)
    return root


def card_of(to: Path) -> str:
    return (to / "README.md").read_text(encoding="utf-8")


def rows_of(text: str, title: str) -> dict[str, list[str]]:
    """First cell -> the others, of the table whose header holds this title."""
    lines = text.split("\n\n")
    (table,) = [one for one in lines if one.startswith("|") and title in one.splitlines()[0]]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {first: others for first, *others in cells}


def test_an_adapter_is_given_away_as_it_was_judged_with_the_digest_of_every_file(
    files: Path, tmp_path: Path
) -> None:
    done = export.export(RECIPE, tmp_path / "out", files)
    assert (done.candidate, done.form) == ("step_0000040@1", "adapter")
    found = run_files.read(RECIPE, files)
    source = files / found.run.directory / "step_0000040"
    for name in ("lora_weights.safetensors", "lora_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()
    said = json.loads((tmp_path / "out/provenance.json").read_text())
    listed = digest.of_tree(tmp_path / "out")
    assert said["files"] == {name: sha256 for name, sha256 in listed.items() if name != "provenance.json"}
    assert (
        said["checkpoint_sha256"] == found.selection.checkpoint_sha256
        and said["run_digest"] == found.run.run_digest
    )
    assert done.num_files == len(listed) and done.num_bytes == sum(
        p.stat().st_size for p in (tmp_path / "out").iterdir()
    )
    assert said["inputs"]["runs/mini-lora/evaluations.jsonl"] == digest.of_file(
        files / "runs/mini-lora/evaluations.jsonl"
    )


def test_the_numbers_of_the_card_are_those_of_the_records(files: Path, tmp_path: Path) -> None:
    compared = records.Comparison(
        "step_0000040@1", "base", -0.0733, records.Interval(-0.09, -0.05), records.Interval(-0.1, -0.04)
    )
    amend(files, against_base=records.to_json(compared), notes=["Few recordings."])
    measure(files, {"base": 0.4, "step_0000040@1": 0.2})
    export.export(RECIPE, tmp_path / "out", files)
    text, found = card_of(tmp_path / "out"), run_files.read(RECIPE, files)
    for name in layout.SPLITS:
        clips = records.read(files / layout.split(name), records.CleanClip)
        minutes = sum(clip.duration_s for clip in clips) / 60
        assert rows_of(text, "recordings")[name] == [str(len(clips)), str(len(clips)), f"{minutes:.1f}"]
    assert "Of 40 rows, 10 were dropped" in text
    assert rows_of(text, "reason") == {"empty_text": ["8"], "silent": ["3"]}
    judged = {one.candidate.name: one.evaluation for one in found.candidates}
    for name, row in rows_of(text, "total").items():
        one = judged[name]
        assert one is not None
        assert row == [
            f"{one.total:.4f}",
            *(f"{one.losses[key]:.4f}" for key in ("diff", "stop")),
            str(one.num_clips),
        ]
    assert set(rows_of(text, "total")) == {"base", "step_0000040@1"}
    assert (
        "Against base: -0.0733, 95 % interval -0.0900 to -0.0500 over recordings, -0.1000 to -0.0400 over clips."
        in text
    )
    assert "Heard on 24 lines that training never saw, against base; higher is better." in text
    assert rows_of(text, "measure")["likeness"][:2] == ["0.800", "+0.200"]
    assert rows_of(text, "measure")["words"][:2] == ["0.900", "+0.000"]
    assert rows_of(text, "figure") == {"cer (share)": ["0.1", "0.4", "0.2"]}
    assert "* the nearest to the speaker" in text and "* Few recordings." in text
    assert "* Of 2 sentences it spoke, 2 ended by themselves." in text


def test_a_card_says_how_many_steps_were_made_and_why_no_more(files: Path) -> None:
    case = gates.examine(RECIPE, files, gates.load_params(files), None)
    run = case.files.run
    early = records.EarlyStop(20, run.identity.train.steps, 10, 2)
    told = replace(case, files=replace(case.files, run=replace(run, stopped_early=early)))
    text = card.render(card.about(told, "adapter", None, None, None, []))
    assert "* 20 steps of" in text and f"* {early.told}" in text
    assert "stopped at step" not in card.render(card.about(case, "adapter", None, None, None, []))


def test_a_card_says_that_other_speakers_are_in_the_weights(files: Path) -> None:
    case = gates.examine(RECIPE, files, gates.load_params(files), None)
    run = case.files.run
    mixed = replace(run.identity, train=replace(run.identity.train, replay_share=0.125))
    told = replace(case, files=replace(case.files, run=replace(run, identity=mixed)))
    texts = [card.render(card.about(one, "adapter", None, None, None, [])) for one in (case, told)]
    said = "Of all clips that it saw in training, 12.5% were of other speakers"
    assert [said in text for text in texts] == [False, True]


def test_a_hub_reads_the_front_matter(files: Path, tmp_path: Path) -> None:
    import yaml

    export.export(RECIPE, tmp_path / "out", files, base_model="openbmb/VoxCPM2")
    head = yaml.safe_load(card_of(tmp_path / "out").split("---\n")[1])
    assert (
        head["license"] == "apache-2.0"
        and head["base_model"] == "openbmb/VoxCPM2"
        and head["language"] == ["en"]
    )
    assert head["pipeline_tag"] == "text-to-speech" and head["base_model_relation"] == "adapter"
    assert {"text-to-speech", "voxcpm2", "lora"} <= set(head["tags"]) and head["library_name"] == "voxcpm"
    code = re.search(r"```python\n(.*?)```", card_of(tmp_path / "out"), re.DOTALL)
    assert code is not None and "openbmb/VoxCPM2" in code[1]
    assert code[1].rstrip("\n") == families.spec("voxcpm2").usage["adapter"].replace(
        "BASE", "openbmb/VoxCPM2"
    ).replace("HERE", ".").replace(
        "DECODING", "inference_timesteps=10, cfg_value=2.0, retry_badcase_ratio_threshold=6.0"
    )
    assert "judged with guidance 2, max_length_ratio 6, steps 10" in card_of(tmp_path / "out")
    about = digest.read_json(tmp_path / "out" / export.PROVENANCE)
    assert about["decoding"] == {"steps": 10.0, "guidance": 2.0, "max_length_ratio": 6.0}


def test_nobody_is_named_and_no_place_of_this_machine(files: Path, tmp_path: Path) -> None:
    record = digest.read_json(files / "consent/awb.json")
    digest.write_json(
        files / "consent/awb.json", {**record, "contact_ref": "Maria Musterfrau", "signature": None}
    )
    passed = digest.read_json(files / layout.GATE)
    digest.write_json(
        files / layout.GATE, {**passed, "speakers": {"awb": digest.of_file(files / "consent/awb.json")}}
    )
    export.export(RECIPE, tmp_path / "out", files)
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        for personal in ("awb", "Musterfrau", "M. M.", "voicelathe.consent", str(tmp_path), str(Path.home())):
            assert personal.encode() not in content, (path.name, personal)
    assert "not granted: ads, political" in card_of(tmp_path / "out")


def test_a_version_is_exported_with_what_it_was_promoted_for(project: Path, tmp_path: Path) -> None:
    promote.promote(RECIPE, project, "warmer", "step_0000020")
    done = export.export(f"models:/{NAME}@production", tmp_path / "out", project)
    assert done.candidate == "step_0000020@1"
    text = card_of(tmp_path / "out")
    assert (
        "This is not the candidate it chose.** Why it was exported: warmer" in text and "version 1 of" in text
    )
    assert "was not given an interval" in text
    with pytest.raises(PromotionError, match="is one candidate already"):
        export.export(f"models:/{NAME}/1", tmp_path / "other", project, "step_0000040")
    with pytest.raises((RequestError, PromotionError)):
        export.export(f"models:/{NAME}/7", tmp_path / "other", project)


def test_what_must_not_be_promoted_is_not_given_away_either(files: Path, tmp_path: Path) -> None:
    def refused(match: str, **more: Any) -> None:
        with pytest.raises(PromotionError, match=match):
            export.export(RECIPE, tmp_path / "out", files, because="nevertheless", **more)
        assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*partial"))

    refused("untouched base", candidate="base")
    stamp = files / run_files.read(RECIPE, files).run.directory / identity.RESEARCH
    stamp.write_text("research")
    refused("(?s)must not be exported.*research only")
    stamp.unlink()
    params.edit({f"bases/{runs.BASE}/licence": "CC-BY-NC-4.0"}, files / "params.yaml")
    refused("does not allow it")
    params.edit({f"bases/{runs.BASE}/licence": "Apache-2.0"}, files / "params.yaml")
    record = digest.read_json(files / "consent/awb.json")
    digest.write_json(
        files / "consent/awb.json", {**record, "purposes": {**record["purposes"], "clone": False}}
    )
    refused("clone")
    digest.write_json(files / "consent/awb.json", record)
    assert export.export(RECIPE, tmp_path / "out", files).num_files == 5


def test_another_candidate_wants_a_reason_and_a_folder_with_files_is_left_alone(
    files: Path, tmp_path: Path
) -> None:
    with pytest.raises(PromotionError, match="--because"):
        export.export(RECIPE, tmp_path / "out", files, "step_0000020")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(PromotionError, match="never overwrites"):
        export.export(RECIPE, tmp_path / "full", files)
    assert (tmp_path / "full/mine.txt").read_text() == "mine"


def test_a_licence_the_hub_does_not_know_is_named(files: Path) -> None:
    params.edit({f"bases/{runs.BASE}/licence": "Voice-Licence-1.0"}, files / "params.yaml")
    case = export.gates.examine(RECIPE, files, export.gates.load_params(files), None)
    text = card.render(card.about(case, "adapter", None, None, None, []))
    assert "license: other\nlicense_name: Voice-Licence-1.0\n" in text
    assert "random weights" in text, "the base of this project is not trained"


def amend(root: Path, **changes: Any) -> None:
    path = root / layout.run(RECIPE, "selection.json")
    digest.write_json(path, {**digest.read_json(path), **changes})


def measure(root: Path, cer: dict[str, float]) -> None:
    """Metrics of two samples a candidate, and the selection made on them."""
    path = root / layout.run(RECIPE, "metrics.json")
    found = records.read_one(path, records.SpeechMeasures)
    figure = records.FigureRecord(
        records.Figure("cer", "share", "lower", None, "errors"),
        "words",
        None,
        0.5,
        0.1,
        0.0,
        0.3,
        [0.0, 0.1, 0.3],
    )
    spoken = [
        records.MeasuredSample(name, "carrier", seed, {"cer": value + (seed - 42.5) / 10}, {})
        for name, value in cer.items()
        for seed in (42, 43)
    ]
    digest.write_json(path, records.to_json(replace(found, figures=[figure], samples=spoken, num_real=5)))
    selection = digest.read_json(root / layout.run(RECIPE, "selection.json"))
    amend(
        root,
        inputs={**selection["inputs"], layout.run(RECIPE, "metrics.json").as_posix(): digest.of_file(path)},
    )


def test_terms_of_a_licence_and_recordings_that_a_format_carries_are_said(files: Path) -> None:
    case = export.gates.examine(RECIPE, files, export.gates.load_params(files), None)
    identity = replace(case.files.run.identity, family="indextts2")
    settings = decoding.defaults(export.families.spec("indextts2").decoding)
    selection = replace(case.files.selection, decoding=settings)
    run = replace(case.files.run, identity=identity)
    other = replace(case, files=replace(case.files, run=run, selection=selection))
    text = card.render(card.about(other, "adapter", None, None, None, []))
    spec = families.spec("indextts2")
    assert spec.terms and spec.terms in text and "It holds recordings" in text
    plain = card.render(card.about(case, "adapter", None, None, None, []))
    assert "It holds recordings" not in plain


def test_how_other_programs_serve_it_is_written_beside_it_and_not_claimed_to_be_tried(
    files: Path, tmp_path: Path
) -> None:
    export.export(RECIPE, tmp_path / "out", files, base_model="openbmb/VoxCPM2")
    said = (tmp_path / "out/SERVE.md").read_text()
    assert "startup_lora_path: HERE" in said and "vllm serve openbmb/VoxCPM2 --omni" in said
    assert "NANOVLLM_MODEL_PATH=openbmb/VoxCPM2" in said and "NANOVLLM_LORA_URI=file://HERE" in said
    assert "none of these programs was run with it here" in said and not {"MODEL\n", "ADAPTER"} & {
        *said.split(" ")
    }
    assert f"voicelathe conform http://127.0.0.1:8091/v1 --recipe {RECIPE} --candidate step_0000040@1" in said
    assert "SERVE.md" in json.loads((tmp_path / "out/provenance.json").read_text())["files"]


def test_no_program_is_named_where_none_is_known() -> None:
    assert {
        name: sorted(families.spec(name).servers) for name in families.TABLE if families.spec(name).servers
    } == {
        "voxcpm15": ["adapter", "full"],
        "voxcpm2": ["adapter", "full"],
        "qwen3_tts": ["full"],
    }
