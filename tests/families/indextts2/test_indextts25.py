"""IndexTTS 2.5: the numbers and tokens of upstream's own code, what a clip is heard after, and what is refused.

official_indextts25.json was computed once by upstream's code on the same small weights: see official_indextts25.py.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import indextts25_base
from tests.families.indextts2 import official_indextts25
from tests.families.indextts2.test_indextts2_files import set_in_config
from voicelathe import families
from voicelathe.config import schema
from voicelathe.errors import BaseModelError, FamilyUnavailable, ManifestError
from voicelathe.families import bases
from voicelathe.families.base import ClipItem
from voicelathe.families.indextts2 import editions, losses, multilingual, synthesis25
from voicelathe.families.indextts2.losses import ClipTokens, Ids
from voicelathe.process import environments
from voicelathe.records import ReadText

CPU = schema.Machine("cpu", 1, 1)
OFFICIAL = json.loads((Path(__file__).parent / "official_indextts25.json").read_text())
IDS = Ids(0, 1, 8192, 8193)
Family25: Any = families.find("indextts25")


@pytest.fixture
def opened(indextts25_dir: Path) -> Any:
    facts = Family25.describe(indextts25_dir, "LicenseRef-Bilibili-IndexTTS", False)
    found = Family25.open_model(indextts25_dir, facts, CPU)
    found.core.eval()
    return found


def clips() -> list[ClipTokens]:
    return [
        ClipTokens(
            one["text"], one["codes"], one["emotion"].flatten(), speaker_S=one["speaker"].flatten(),
            language=multilingual.row_of(one["language"]),
        )
        for one in official_indextts25.clips()
    ]  # fmt: skip


def item(number: int, speaker: str, codes: int, text: str = "It rains.", language: str = "en") -> ClipItem:
    features = indextts25_base.features(codes / 25, number)
    return ClipItem(f"c{number}", ReadText(text), language, speaker, features)


def test_the_weights_are_those_of_the_official_numbers(opened: Any) -> None:
    found = official_indextts25.older.checksum(opened.core.state_dict())
    assert found == pytest.approx(OFFICIAL["checksum"], rel=1e-9)
    assert {f"{name}." for name in OFFICIAL["not_trained"]} == set(editions.TWO_FIVE.frozen)


@torch.no_grad()
def test_losses_are_the_official_ones_in_training_and_with_the_place_that_generation_leaves_out(
    opened: Any,
) -> None:
    """As in IndexTTS2: upstream generates with the codes one place further than its own forward has them."""
    packed = losses.pack(clips(), IDS, torch.device("cpu"))
    found = losses.losses(opened.core, packed, False)
    for name in ("text", "mel", "mel_stop"):
        assert found[name].tolist() == pytest.approx([one[name] for one in OFFICIAL["clips"]], abs=1e-5)
    place_M = packed.mel_place_M
    spoken = replace(packed, mel_place_M=torch.where(place_M > 0, place_M + 1, place_M))
    wanted = [one["mel_spoken"] for one in OFFICIAL["clips"]]
    assert losses.losses(opened.core, spoken, False)["mel"].tolist() == pytest.approx(wanted, abs=1e-5)
    assert found["mel"].tolist() != pytest.approx(wanted, abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("changed", ["speaker_S", "emotion_C", "language"])
def test_the_losses_know_the_voice_the_emotion_and_the_language(opened: Any, changed: str) -> None:
    clip = clips()[0]
    other = (
        replace(clip, language=5)
        if changed == "language"
        else replace(clip, **{changed: -30.0 * getattr(clip, changed)})
    )
    before, after = (
        losses.losses(opened.core, losses.pack([one], IDS, torch.device("cpu")), False)
        for one in (clip, other)
    )
    assert (
        abs(float(before["text"] - after["text"])) > 1e-4 and abs(float(before["mel"] - after["mel"])) > 1e-4
    )


@pytest.mark.parametrize(
    ("text", "language", "row", "ids"), OFFICIAL["texts"], ids=[one[0] for one in OFFICIAL["texts"]]
)
def test_texts_become_upstreams_tokens(
    indextts25_dir: Path, text: str, language: str, row: int, ids: list[int]
) -> None:
    tokenizer = multilingual.tokenizer(indextts25_dir)
    assert multilingual.tokens(tokenizer, text, language, (0, 1)).tolist() == ids
    assert multilingual.row_of(language) == row


def test_the_ids_of_many_random_texts_are_upstreams(indextts25_dir: Path) -> None:
    tokenizer = multilingual.tokenizer(indextts25_dir)
    assert (
        official_indextts25.drawn(
            lambda text, tag: multilingual.tokens(tokenizer, text, tag, (0, 1)).tolist()
        )
        == OFFICIAL["drawn"]
    )


def test_the_region_of_a_language_is_not_asked() -> None:
    assert (
        multilingual.row_of("pt-BR") == multilingual.row_of("pt")
        and multilingual.read("Olá", "pt-BR") == "<|pt|> Olá"
    )


def test_a_vocabulary_that_is_none_is_named(indextts25_dir: Path, tmp_path: Path) -> None:
    (tmp_path / multilingual.VOCABULARY).write_text("what is this\n")
    with pytest.raises(BaseModelError, match="no tiktoken vocabulary"):
        multilingual.tokenizer(tmp_path)


def test_a_clip_is_heard_after_the_vector_of_another_clip_in_training_and_after_the_reference_elsewhere(
    opened: Any,
) -> None:
    items = [item(0, "a", 40), item(1, "a", 120), item(2, "b", 60), item(3, "a", 195)]
    opened.prepare(items)
    assert opened.references() == {"a": "c1", "b": "c2"}, "the clip nearest five seconds, of 25 codes each"
    for training, heard in ((True, items[3]), (False, items[1])):
        opened.core.train(training)
        packed = opened.collate([items[0]])
        assert torch.equal(packed.speaker_NS, heard.tensors["speaker"])
        assert torch.equal(packed.condition_NC[0], heard.tensors["emotion"][0].float())


def test_japanese_is_refused_because_upstream_cuts_it_up(opened: Any) -> None:
    with pytest.raises(ManifestError, match="1 clips are in Japanese, which upstream cuts into words"):
        opened.prepare([item(0, "a", 40), item(1, "a", 40, "雨です。", "ja-JP")])


def test_the_projection_of_the_voice_and_the_languages_are_trained_in_full(opened: Any) -> None:
    plan = opened.trainable("full")
    assert {"spk_emb_proj.weight", "lang_embedding.weight"} <= set(plan.trainable)
    assert plan.parts["voice"] == ["spk_emb_proj.weight", "spk_emb_proj.bias"]


def test_the_published_sizes_make_the_published_parameters() -> None:
    """Tables and heads of a vocabulary five times as large as IndexTTS2's."""
    with torch.device("meta"):
        core = Family25.sketch(Family25.published, None).model.core
    assert sum(p.numel() for p in core.gpt.parameters()) == pytest.approx(472.3e6, rel=0.001)
    assert core.text_embedding.weight.shape == (60510, 1280) and core.lang_embedding.weight.shape == (
        107,
        1280,
    )


# --- directories ---------------------------------------------------------------------------------------------------------


def test_each_edition_is_recognised_and_the_other_family_says_which_it_is(
    indextts2_dir: Path, indextts25_dir: Path
) -> None:
    assert (bases.recognise(indextts2_dir), bases.recognise(indextts25_dir)) == (
        "indextts2",
        "indextts25",
    )
    with pytest.raises(
        BaseModelError,
        match=r"is IndexTTS 2.5 \(config.yaml: version = 2.5; codec.pth is there\), and indextts2 is IndexTTS2",
    ):
        families.find("indextts2").describe(indextts25_dir, "x", False)
    with pytest.raises(
        BaseModelError,
        match=r"is IndexTTS2 \(config.yaml: version = 2.0; codec.pth is missing\), and indextts25 is IndexTTS 2.5",
    ):
        Family25.describe(indextts2_dir, "x", False)


def test_facts_have_half_as_many_positions_a_second(indextts25_dir: Path) -> None:
    facts = Family25.describe(indextts25_dir, "x", False)
    assert (facts.positions_per_s, facts.max_clip_s, facts.min_clip_s) == (25.0, 8.0, 0.04)


# --- upstream's interpreter ----------------------------------------------------------------------------------------------


def test_both_editions_share_one_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert environments.name_of("indextts25") == "indextts2" and environments.needed().count("indextts2") == 1
    assert "indextts25" not in environments.needed()
    assert "voicelathe env create indextts2" in str(environments.lacking("indextts25", "speak"))


def test_upstream_opens_links_beside_the_base_and_nothing_is_written_into_it(
    indextts25_dir: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(indextts25_dir, tmp_path / "base")
    before = Family25.describe(base, "x", False).digest
    with pytest.raises(FamilyUnavailable, match=r"missing in .*base-upstream:\n.*w2v-bert-2.0/config.json"):
        synthesis25.linked(base)
    fetched = tmp_path / "base-upstream/hf_cache"
    for name in (
        "w2v-bert-2.0/config.json",
        "campplus_cn_common.bin",
        "bigvgan/config.json",
        "bigvgan/bigvgan_generator.pt",
    ):
        (fetched / name).parent.mkdir(parents=True, exist_ok=True)
        (fetched / name).write_bytes(b"x")
    for _ in range(2):
        place = synthesis25.linked(base)
        assert (place / "hf_cache").samefile(fetched) and (place / "codec.pth").samefile(base / "codec.pth")
        assert {one.name for one in place.iterdir()} == {one.name for one in base.iterdir()} | {"hf_cache"}
    assert Family25.describe(base, "x", False).digest == before


def test_a_directory_without_a_version_is_told_by_its_codec(indextts25_dir: Path, tmp_path: Path) -> None:
    base = shutil.copytree(indextts25_dir, tmp_path / "base")
    set_in_config(version=None)(base)
    assert (
        bases.recognise(base) == "indextts25" and Family25.describe(base, "x", False).positions_per_s == 25.0
    )
    (base / "codec.pth").unlink()
    assert bases.recognise(base) == "indextts2"
    with pytest.raises(BaseModelError, match=r"config\.yaml: no version; codec\.pth is missing"):
        Family25.describe(base, "x", False)
