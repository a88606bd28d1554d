"""A recogniser is what was pinned, or is refused by file: missing, changed, of another kind, of another language."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import recognisers
from voicelathe import digest, layout, records
from voicelathe.config import params, schema
from voicelathe.errors import RecogniserError
from voicelathe.speech import recogniser_files as files

ROOT = Path(__file__).parents[2]


def test_the_shipped_recogniser_is_the_one_whose_record_is_in_the_repository() -> None:
    chosen = params.load(ROOT / "params.yaml").speech.recogniser
    assert chosen is not None
    facts = files.pinned(chosen)
    assert facts == records.read_one(ROOT / layout.RECOGNISER, records.RecogniserFacts)
    assert (facts.languages, facts.licence, facts.is_multilingual) == (["en"], "MIT", False)


def test_what_a_multilingual_model_knows_is_read_from_its_files(tmp_path: Path) -> None:
    folder = recognisers.sketch(tmp_path / "small", languages=("en", "de", "zh", "haw", "yue"))
    assert files.describe(str(folder), "MIT", None).languages == ["de", "en", "haw", "yue", "zh"]
    trusted = files.describe(str(folder), "MIT", ["de-CH", "cmn"])
    assert trusted.languages == ["de-CH", "cmn"] and trusted.is_multilingual
    with pytest.raises(RecogniserError, match="fr: this model does not know it"):
        files.describe(str(folder), "MIT", ["de", "fr"])
    with pytest.raises(RecogniserError, match="for English only"):
        files.describe(recognisers.PACKAGE, "MIT", ["it"])


@pytest.mark.parametrize(
    "broken, said",
    [
        (lambda folder: (folder / "model.bin").unlink(), "model.bin: missing"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json: missing"),
        (lambda folder: (folder / "vocabulary.json").unlink(), "vocabulary.json or vocabulary.txt: missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: no JSON"),
        (lambda folder: (folder / "config.json").write_text("{}"), "has no suppress_ids"),
        (lambda folder: (folder / "model.bin").write_bytes(b""), "model.bin: 0 bytes long"),
        (lambda folder: (folder / "model.bin").write_bytes(b"PK\x03\x04" + bytes(60)), "a pickle"),
        (lambda folder: (folder / "model.bin").write_bytes(b"\x80\x02" + bytes(60)), "a pickle"),
        (lambda folder: (folder / "model.bin").write_bytes(bytes(64)), "not a model of CTranslate2"),
    ],
)
def test_a_broken_directory_is_refused_by_file(tmp_path: Path, broken: object, said: str) -> None:
    folder = recognisers.sketch(tmp_path / "x")
    broken(folder)  # type: ignore[operator]
    with pytest.raises(RecogniserError, match=said) as refused:
        files.describe(str(folder), "MIT", None)
    assert "ct2-transformers-converter" in str(refused.value), "what to do next"


def test_another_kind_of_model_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = recognisers.sketch(tmp_path / "x", kind="TransformerSpec")
    with pytest.raises(RecogniserError, match=r"model\.bin: a TransformerSpec, not a WhisperSpec"):
        files.describe(str(folder), "MIT", None)
    with pytest.raises(RecogniserError, match=r"model\.bin: missing"):
        files.describe(str(ROOT / "data/bases/voxcpm2-mini"), "MIT", None)
    with pytest.raises(RecogniserError, match="missing or not a directory"):
        files.describe(str(tmp_path / "nowhere"), "MIT", None)


@pytest.mark.parametrize(
    "model, said",
    [
        ("package:not_installed_anywhere", "no such package is installed"),
        ("package:../evil", "no such package is installed"),
        ("package:yaml", "holds 0 files called model.bin"),
    ],
)
def test_a_package_without_a_model_is_refused(model: str, said: str) -> None:
    with pytest.raises(RecogniserError, match=said):
        files.directory(model)


def test_a_changed_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = recognisers.sketch(tmp_path / "small")
    facts = files.describe(str(folder), "MIT", None)
    chosen = schema.PinnedRecogniser(str(folder), facts.digest, "MIT", None)
    assert files.pinned(chosen) == facts
    digest.write_json(layout.RECOGNISER, records.to_json(facts))
    (folder / "config.json").write_text('{"suppress_ids": [1], "lang_ids": []}')
    (folder / "notes.txt").write_text("mine")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(RecogniserError, match="is not the recogniser that was pinned") as refused:
        files.pinned(chosen)
    said = str(refused.value)
    assert (
        "config.json: changed" in said
        and "notes.txt: was not there" in said
        and "tokenizer.json: missing" in said
    )
    assert "voicelathe recogniser add" in said


def test_without_a_recogniser_there_is_nothing_to_refer_to() -> None:
    chosen = params.load(ROOT / "params.yaml")
    assert files.reference(schema.SpeechModels(None), chosen.machine) is None
    ref = files.reference(chosen.speech, replace(chosen.machine, device="cuda"))
    assert ref is not None and ref.device == "cuda", "it follows machine.device"
