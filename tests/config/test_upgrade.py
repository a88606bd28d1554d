"""A params.yaml of the past is brought up to date by one command: what is new comes with its comment, what somebody chose stays."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from voicelathe import lines
from voicelathe.config import changes, params, upgrade
from voicelathe.config.version import VERSION
from voicelathe.errors import ParamsError

ROOT = Path(__file__).parents[2]
FIRST = Path(__file__).parent / "files" / "params-1.yaml"  # as shipped before files said their version


def places(tree: Any, place: str) -> Iterator[Any]:
    nodes = [tree]
    for part in filter(None, place.split(".")):
        nodes = [one for node in nodes for one in (node.values() if part == "*" else [node[part]])]
    yield from nodes


def test_a_file_of_the_first_version_is_read_again_after_the_upgrade(tmp_path: Path) -> None:
    made = upgrade.upgrade(FIRST.read_text())
    written = upgrade.write(made, tmp_path / "params.yaml")
    assert written == [tmp_path / "lines/mini-lora.jsonl", tmp_path / "params.yaml"]
    now = params.load(tmp_path / "params.yaml")
    assert now.recipes["mini-lora"].listen.lines == "lines/mini-lora.jsonl"
    pack = lines.read(tmp_path / "lines/mini-lora.jsonl")
    assert [(one.id, one.stratum) for one in pack] == [("carrier", "long"), ("short", "sentence")]
    assert now.recipes["mini-lora"].train.steps == 60, "what the file chose, not what is shipped today"
    again = upgrade.upgrade((tmp_path / "params.yaml").read_text())
    assert again.text == (tmp_path / "params.yaml").read_text() and again.notes == []


def test_zero_shot_says_how_where_it_said_whether() -> None:
    """A base of another family hears in its own way; one that takes over no voice, and who did not ask, hears nothing."""
    shipped = (ROOT / "params.yaml").read_text()
    before = shipped.replace("zero_shot: reference", "zero_shot: true", 1)
    before = before.replace("zero_shot: reference", "zero_shot: false", 1)
    with pytest.raises(
        ParamsError, match=r"mini-full.evaluate.zero_shot = False: .*; null is what false was"
    ):
        params.check(params.parse(before, "a file"), "a file")
    made = upgrade.upgrade(before)
    assert made.notes == [
        "recipes.mini-lora.evaluate.zero_shot: true is reference",
        "recipes.mini-full.evaluate.zero_shot: false is null (this base can take over a voice by reference or both or continuation)",
    ]
    assert "zero_shot: reference\n" in made.text and "zero_shot: null\n" in made.text
    tree = params.parse(before, "a file")
    for family, way in {"voxcpm15": "continuation", "cosyvoice3": "continuation", "indextts2": None}.items():
        tree["bases"]["voxcpm2-mini"]["family"] = family
        tree["recipes"]["mini-lora"]["evaluate"]["zero_shot"] = True
        list(changes.NameWay().apply("", tree))
        assert tree["recipes"]["mini-lora"]["evaluate"]["zero_shot"] == way
    tree["bases"]["voxcpm2-mini"]["family"] = "voxcpm15"
    tree["recipes"]["mini-lora"]["evaluate"]["zero_shot"] = False
    notes = list(changes.NameWay().apply("", tree))
    assert (
        "mini-lora.evaluate.zero_shot: false is null (this base can take over a voice by continuation)"
        in notes[0]
    )


def test_what_is_added_is_what_the_shipped_file_has_with_its_comment() -> None:
    made = upgrade.upgrade(FIRST.read_text())
    shipped, tree = (ROOT / "params.yaml").read_text(), params.read_yaml(ROOT / "params.yaml")
    for several in changes.CHANGES.values():
        for change in several:
            if isinstance(change, changes.Add):
                added = params.parse(change.text, "added")
                ((key, value),) = added.items()
                assert all(section[key] == value for section in places(tree, change.place)), key
                for line in change.text.splitlines():
                    assert line.strip() in made.text and line.strip() in shipped, "its comment, too"
            if isinstance(change, changes.Default):
                assert all(section[change.key] == change.now for section in places(tree, change.place))


def test_settings_of_a_later_version_come_into_an_older_file_and_nothing_else_changes() -> None:
    shipped = (ROOT / "params.yaml").read_text()
    before = "".join(line for line in shipped.splitlines(keepends=True) if "beta2:" not in line)
    made = upgrade.upgrade(before.replace(f"version: {VERSION}", "version: 2", 1))
    assert made.text == shipped
    assert made.notes == [f"recipes.{name}.train.beta2: added" for name in ("mini-lora", "mini-full")]


def test_a_setting_that_is_last_in_its_section_stands_before_the_empty_line() -> None:
    shipped = (ROOT / "params.yaml").read_text()
    before = "".join(line for line in shipped.splitlines(keepends=True) if "watermark:" not in line)
    made = upgrade.upgrade(before.replace(f"version: {VERSION}", "version: 2", 1))
    assert made.notes == ["consent.watermark: added"] and made.text == shipped


def test_what_somebody_chose_is_kept_and_said() -> None:
    chosen = FIRST.read_text().replace("min_chars_per_s: 8.0", "min_chars_per_s: 5.5")
    made = upgrade.upgrade(chosen)
    assert "min_chars_per_s: 5.5" in made.text and "max_chars_per_s: 35.0" in made.text
    assert "audit.min_chars_per_s = 5.5: kept; the default was 8.0 and is 4.0" in made.notes
    assert "audit.max_chars_per_s: 28.0 is 35.0" in made.notes
    assert any(note.startswith("measure.silence_dbfs = -50.0: removed; ") for note in made.notes)


def test_a_value_in_a_section_that_is_new_already_was_chosen() -> None:
    shipped = (ROOT / "params.yaml").read_text()
    chosen = shipped.replace("max_pace_deviations: 3.8", "max_pace_deviations: 6.0", 1)
    without = "".join(line for line in chosen.splitlines(keepends=True) if not line.startswith("version:"))
    made = upgrade.upgrade(without)
    assert made.notes == [] and "max_pace_deviations: 6.0" in made.text


def test_a_merge_is_one_sentence_and_no_traceback() -> None:
    text = FIRST.read_text().replace("listen: *listen", "listen:\n      <<: *listen\n      seeds: [7]", 1)
    with pytest.raises(ParamsError, match=r"a merge \(`<<: \*name`\) cannot be upgraded"):
        upgrade.upgrade(text)


def test_every_comment_of_the_old_file_is_still_there() -> None:
    old, made = FIRST.read_text(), upgrade.upgrade(FIRST.read_text()).text
    gone = {"held_out_lines", "silence_dbfs"}
    comments = [
        line.split(" #", 1)[1].strip()
        for line in old.splitlines()
        if " #" in line and not any(name in line for name in gone)
    ]
    assert len(comments) > 20 and [one for one in comments if one not in made] == []


def test_a_section_that_recipes_share_is_upgraded_once_and_stays_shared() -> None:
    made = upgrade.upgrade(FIRST.read_text())
    assert made.text.count("listen: &listen") == 1 and made.text.count("listen: *listen") == 1
    assert made.text.count("block_lines") == 1 and made.text.count("guards:") == 2


def test_recipes_get_the_decoding_settings_that_their_base_was_heard_with() -> None:
    shipped = (ROOT / "params.yaml").read_text()
    old = re.sub(r"^    speak: .*\n", "", shipped, flags=re.M).replace(f"version: {VERSION}", "version: 2", 1)
    made = upgrade.upgrade(old)
    assert made.notes == ["recipes.mini-lora.speak: added", "recipes.mini-full.speak: added"]
    assert made.text == shipped
    chosen = shipped.replace("steps: 10, guidance: 2.0", "steps: 4, guidance: 1.5", 1)
    again = upgrade.upgrade(chosen.replace(f"version: {VERSION}", "version: 2", 1))
    assert again.notes == [] and "steps: 4, guidance: 1.5" in again.text


def test_a_file_of_this_version_that_lacks_settings_gets_them() -> None:
    """As after a recipe was pasted from an older file."""
    shipped = (ROOT / "params.yaml").read_text()
    bare = re.sub(r"^    speak: .*\n", "", shipped, count=1, flags=re.M)
    bare = re.sub(r"^  watermark: .*\n", "", bare, flags=re.M)
    bare = re.sub(r"^      (reference_share|compile_layers): .*\n", "", bare, flags=re.M)
    made = upgrade.upgrade(bare)
    assert made.notes == [
        *("recipes.mini-lora.speak: added", "consent.watermark: added"),
        *(
            f"recipes.{recipe}.train.{key}: added"
            for key in ("reference_share", "compile_layers")
            for recipe in ("mini-lora", "mini-full")
        ),
    ]
    assert made.text == shipped and upgrade.upgrade(shipped) == upgrade.Upgrade(shipped, [])


@pytest.mark.parametrize(
    "broken", ["recipes: null", "recipes: [1]", "recipes: {x: null}", "recipes: {x: {base: null}}"]
)
def test_recipes_that_are_none_are_said_to_be_wrong_and_no_traceback(broken: str) -> None:
    text = (
        (ROOT / "params.yaml")
        .read_text()
        .split("\nrecipes:")[0]
        .replace(f"version: {VERSION}", "version: 2", 1)
    )
    with pytest.raises(ParamsError, match="recipes"):
        upgrade.upgrade(f"{text}\n{broken}\n")


def test_a_base_of_no_family_is_named_and_not_the_settings_it_cannot_have() -> None:
    text = (ROOT / "params.yaml").read_text().replace("family: voxcpm2", "family: voxcpm3", 1)
    old = re.sub(r"^    speak: .*\n", "", text, flags=re.M).replace(f"version: {VERSION}", "version: 2", 1)
    with pytest.raises(ParamsError, match=r"no such family"):
        upgrade.upgrade(old)


def test_an_old_file_is_refused_with_the_command_that_upgrades_it(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(FIRST.read_text())
    with pytest.raises(
        ParamsError, match=rf"is of version 1.*version {VERSION} is read.*voicelathe params upgrade --write"
    ):
        params.load(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("version", "says"),
    [(str(VERSION + 1), "update this one"), ("two", "leave the line"), ("true", "leave"), ("0", "leave")],
)
def test_a_version_that_there_is_not_is_refused(tmp_path: Path, version: str, says: str) -> None:
    text = (ROOT / "params.yaml").read_text().replace(f"version: {VERSION}", f"version: {version}", 1)
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=f"version = .*from 1 to {VERSION}.*{says}"):
        params.load(tmp_path / "params.yaml")


def test_a_pack_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines/mini-lora.jsonl").write_text("mine")
    (tmp_path / "params.yaml").write_text(FIRST.read_text())
    with pytest.raises(ParamsError, match=r"lines/mini-lora\.jsonl: there already, and nothing was written"):
        upgrade.write(upgrade.upgrade(FIRST.read_text()), tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").read_text() == FIRST.read_text()
    assert (tmp_path / "lines/mini-lora.jsonl").read_text() == "mine"


def test_a_file_that_is_wrong_otherwise_says_so_and_is_not_upgraded() -> None:
    with pytest.raises(ParamsError, match=r"\(upgraded\)[\s\S]*seed"):
        upgrade.upgrade(FIRST.read_text().replace("seed: 20260511", "seed: many", 1))


def test_every_version_since_the_first_has_its_changes() -> None:
    assert isinstance(changes.CHANGES, Mapping) and sorted(changes.CHANGES) == list(range(2, VERSION + 1))
