"""A base directory is described without torch, and whatever is wrong with it is refused with its file and the remedy."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.factories import bases as factory
from voicelathe import digest, records
from voicelathe.config import schema
from voicelathe.errors import BaseModelError
from voicelathe.families import bases, find
from voicelathe.families.voxcpm import config

ROOT = Path(__file__).parents[3]
VOXCPM2 = find("voxcpm2")
EMBEDDED = ROOT / "data" / "bases" / "voxcpm2-mini"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return factory.write(tmp_path / "base")


def refusal(directory: Path) -> str:
    with pytest.raises(BaseModelError) as problem:
        VOXCPM2.describe(directory, "MIT", trained=True)
    return str(problem.value)


def test_the_facts_of_a_directory(base: Path) -> None:
    facts = VOXCPM2.describe(base, "Apache-2.0", trained=False)
    assert (facts.family, facts.architecture, facts.licence, facts.trained) == (
        "voxcpm2",
        "voxcpm2",
        "Apache-2.0",
        False,
    )
    assert (facts.encode_rate_hz, facts.speak_rate_hz, facts.positions_per_s) == (16000, 48000, 6.25)
    assert (facts.min_clip_s, facts.max_clip_s) == (0.16, 81.92)  # one position; max_length positions
    others = len(config.tensor_names(factory.config())) - 1
    assert facts.num_parameters == factory.VOCABULARY * factory.WIDTH + others
    assert facts.files == digest.of_tree(base)
    assert facts.digest == digest.of_value(facts.files)


def test_the_real_model_has_577_tensors() -> None:
    """Layer counts of VoxCPM 2; 577 is the number reported for the official file."""
    real = factory.config(
        lm_config__num_hidden_layers=28,
        residual_lm_num_layers=8,
        encoder_config__num_layers=12,
        dit_config__num_layers=12,
    )
    assert len(config.tensor_names(real)) == 577


def test_the_real_voxcpm_1_5_has_467_tensors() -> None:
    """Counted on upstream's own module with the published layer counts."""
    real = factory.config(
        architecture="voxcpm",
        lm_config__num_hidden_layers=24,
        residual_lm_num_layers=8,
        encoder_config__num_layers=8,
        dit_config__num_layers=8,
    )
    assert len(config.tensor_names(real)) == 467


def test_voxcpm_1_5_is_its_own_family_with_its_own_rates(voxcpm15_dir: Path) -> None:
    facts = find("voxcpm15").describe(voxcpm15_dir, "Apache-2.0", False)
    assert (facts.family, facts.architecture) == ("voxcpm15", "voxcpm")
    assert (facts.encode_rate_hz, facts.speak_rate_hz, facts.positions_per_s) == (44100, 44100, 6.25)
    assert bases.recognise(voxcpm15_dir) == "voxcpm15"
    with pytest.raises(BaseModelError, match="this family needs 'voxcpm2'"):
        VOXCPM2.describe(voxcpm15_dir, "Apache-2.0", False)


def test_the_embedded_base_is_whole_and_pinned() -> None:
    from voicelathe.config import params

    pinned = params.load(ROOT / "params.yaml").bases["voxcpm2-mini"]
    facts = VOXCPM2.describe(EMBEDDED, pinned.licence, pinned.trained)
    assert facts.digest == pinned.digest


def test_describing_a_base_does_not_import_torch(base: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from voicelathe.families import bases;"
        f"print(bases.describe('voxcpm2', Path({str(base)!r}), 'MIT', True).num_parameters);"
        "sys.exit('torch' in sys.modules or 'safetensors' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


CONFIG_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"lm_config__hidden_size": "wide"}, "lm_config.hidden_size = 'wide'"),
    ({"lm_config__num_hidden_layers": 0}, "lm_config.num_hidden_layers = 0"),
    ({"lm_config__vocab_size": True}, "lm_config.vocab_size = True"),
    ({"lm_config__rms_norm_eps": None}, "lm_config.rms_norm_eps = (missing)"),
    ({"lm_config__rope_scaling": None}, "lm_config.rope_scaling.long_factor = (missing)"),
    ({"dit_config__cfm_config": None}, "dit_config.cfm_config = (missing)"),
    ({"encoder_config": [1]}, "encoder_config = [1]"),
    ({"patch_size": -4}, "patch_size = -4"),
    ({"audio_vae_config__encoder_rates": []}, "audio_vae_config.encoder_rates = []"),
    ({"audio_vae_config__out_sample_rate": 44100}, "encodes 25 latents a second but decodes 22.9688"),
]


@pytest.mark.parametrize("changes, seen", CONFIG_FAULTS, ids=[seen for _, seen in CONFIG_FAULTS])
def test_a_senseless_setting_is_named_with_its_path_and_value(
    tmp_path: Path, changes: dict[str, Any], seen: str
) -> None:
    assert f"config.json: {seen}" in refusal(factory.write(tmp_path / "base", **changes)).replace(
        "audio_vae_config: ", ""
    )


def test_all_faults_of_a_directory_are_listed_at_once(base: Path) -> None:
    (base / "config.json").write_text(json.dumps(factory.config(patch_size=0, lm_config__vocab_size=None)))
    (base / "tokenizer.json").unlink()
    (base / "model.safetensors").unlink()
    told = refusal(base)
    assert all(
        name in told
        for name in (
            "patch_size",
            "lm_config.vocab_size",
            "tokenizer.json: missing",
            "model.safetensors: missing",
        )
    )
    assert "huggingface-cli download openbmb/VoxCPM2" in told


def test_settings_that_upstream_has_defaults_for_may_be_absent(base: Path) -> None:
    settings = factory.config(patch_size=None, max_length=None, audio_vae_config=None)
    (base / "config.json").write_text(json.dumps(settings))
    facts = VOXCPM2.describe(base, "MIT", trained=True)
    assert (facts.encode_rate_hz, facts.speak_rate_hz, facts.positions_per_s) == (16000, 48000, 6.25)
    assert facts.max_clip_s == 8192 / 6.25


@pytest.mark.parametrize("architecture", ["llama", 7])
def test_another_architecture_is_refused(tmp_path: Path, architecture: object) -> None:
    directory = factory.write(tmp_path / "base", architecture=architecture)
    assert "config.json: architecture = " in refusal(directory)
    with pytest.raises(BaseModelError, match=r"cannot be fine-tuned here\. Supported:\n"):
        bases.recognise(directory)


def test_a_directory_is_recognised_by_its_architecture(base: Path) -> None:
    assert bases.recognise(base) == "voxcpm2"


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00"])
def test_a_broken_config_is_refused(base: Path, content: str) -> None:
    (base / "config.json").write_text(content)
    assert "config.json" in refusal(base)
    with pytest.raises(BaseModelError, match=r"config\.json"):
        bases.recognise(base)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    assert "is missing or not a directory" in refusal(tmp_path / "nowhere")
    with pytest.raises(BaseModelError, match="is not a directory"):
        bases.recognise(tmp_path / "nowhere")
    with pytest.raises(BaseModelError, match=r"has no config\.json"):
        bases.recognise(tmp_path)


@pytest.mark.parametrize("cut", [1, 100])
def test_a_download_that_stopped_is_noticed(base: Path, cut: int) -> None:
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-cut])
    assert "model.safetensors is damaged" in refusal(base)


@pytest.mark.parametrize(
    "content", [b"", b"short", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}xx", b"\x02\0\0\0\0\0\0\0[]"]
)
def test_a_file_that_is_no_safetensors_is_refused(base: Path, content: bytes) -> None:
    (base / "model.safetensors").write_bytes(content)
    assert "model.safetensors" in refusal(base)


def test_missing_and_foreign_tensors_are_named(base: Path) -> None:
    names = config.tensor_names(factory.config()) - {"stop_head.weight"} | {"base_lm.lora_A"}
    factory.write_tensors(base / "model.safetensors", dict.fromkeys(names, (1,)))
    told = refusal(base)
    assert "model.safetensors: missing: stop_head.weight" in told
    assert "model.safetensors: not part of voxcpm2: base_lm.lora_A" in told
    assert "base_lm.embed_tokens.weight has shape (1,)" in told


def test_a_quantised_conversion_is_refused(base: Path) -> None:
    names = config.tensor_names(factory.config())
    factory.write_tensors(base / "model.safetensors", dict.fromkeys(names, (1,)), dtype="U32")
    assert "tensors of type U32" in refusal(base)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "optimizer.pt", "sub/model.pth", "old/audiovae.pth", "x.pkl"]
)
def test_a_pickle_is_refused_wherever_it_lies(base: Path, name: str) -> None:
    (base / name).parent.mkdir(exist_ok=True)
    (base / name).write_bytes(b"\x80\x04.")
    assert f"{name}: a pickle can run code" in refusal(base)


def test_upstreams_own_codec_archive_is_accepted_when_whole(base: Path) -> None:
    (base / "audiovae.safetensors").unlink()
    assert "audiovae.pth: missing, and so is audiovae.safetensors" in refusal(base)
    (base / "audiovae.pth").write_bytes(b"PK\x03\x04 cut short")
    assert "audiovae.pth: not a whole torch archive" in refusal(base)
    shutil.make_archive(str(base / "audiovae"), "zip", base.parent, base.name)
    (base / "audiovae.zip").rename(base / "audiovae.pth")
    assert "audiovae.pth" in VOXCPM2.describe(base, "MIT", trained=True).files


def test_the_codec_is_converted_when_the_base_is_added_and_the_copy_belongs_to_its_archive(
    base: Path,
) -> None:
    import torch
    from safetensors.torch import load_file

    whole = load_file(base / "audiovae.safetensors")
    (base / "audiovae.safetensors").unlink()
    torch.save({"state_dict": whole}, base / "audiovae.pth")
    assert VOXCPM2.complete(base) == ["audiovae.safetensors"] and VOXCPM2.complete(base) == []
    made = load_file(base / "audiovae.safetensors")
    assert made.keys() == whole.keys() and all(torch.equal(made[name], whole[name]) for name in whole)
    assert {"audiovae.pth", "audiovae.safetensors"} <= VOXCPM2.describe(
        base, "MIT", trained=True
    ).files.keys()
    torch.save({"state_dict": {"x": torch.ones(1)}}, base / "audiovae.pth")
    assert "audiovae.safetensors: was made from other bytes than audiovae.pth" in refusal(base)


def test_a_codec_that_would_run_code_is_refused_when_the_base_is_added(base: Path, tmp_path: Path) -> None:
    import torch

    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'owned'}",)

    (base / "audiovae.safetensors").unlink()
    torch.save({"state_dict": {"x": Hostile()}}, base / "audiovae.pth")
    with pytest.raises(BaseModelError, match=r"audiovae\.pth cannot be read as weights alone"):
        VOXCPM2.complete(base)
    assert not (tmp_path / "owned").exists() and not (base / "audiovae.safetensors").exists()


@pytest.mark.parametrize("name", [".cache/huggingface/download/x.metadata", ".git/HEAD"])
def test_notes_of_the_download_are_to_be_deleted_first(base: Path, name: str) -> None:
    (base / name).parent.mkdir(parents=True)
    (base / name).write_text("2026-11-21")
    folder = base / name.split("/")[0]
    assert f"delete them: rm -r {folder}" in refusal(base)
    shutil.rmtree(folder)
    before = VOXCPM2.describe(base, "MIT", trained=True)
    (base / ".hidden").write_text("other hidden files count")
    assert VOXCPM2.describe(base, "MIT", trained=True).digest != before.digest


def test_one_changed_byte_is_named(base: Path) -> None:
    facts = VOXCPM2.describe(base, "MIT", trained=True)
    VOXCPM2.verify(base, facts)
    VOXCPM2.verify(base, facts.digest)
    weights = base / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BaseModelError, match=r"model\.safetensors: changed") as problem:
        VOXCPM2.verify(base, facts)
    assert "base add DIR --name NAME --replace" in str(problem.value)
    with pytest.raises(BaseModelError, match="is not the base that was pinned") as bare:
        VOXCPM2.verify(base, facts.digest)
    assert "model.safetensors" not in str(bare.value)
    digest.write_json(base.with_name("base.json"), records.to_json(facts))  # as `base add` leaves it
    with pytest.raises(BaseModelError, match=r"model\.safetensors: changed"):
        VOXCPM2.verify(base, facts.digest)
    base.with_name("base.json").write_text("{}")
    with pytest.raises(BaseModelError, match="is not the base that was pinned"):
        VOXCPM2.verify(base, facts.digest)


def test_missing_and_new_files_are_named(base: Path) -> None:
    facts = VOXCPM2.describe(base, "MIT", trained=True)
    (base / "tokenizer.json").unlink()
    (base / "tokenizer_fast.json").write_text("{}")
    with pytest.raises(BaseModelError) as problem:
        VOXCPM2.verify(base, facts)
    assert "tokenizer.json: missing" in str(problem.value)
    assert "tokenizer_fast.json: was not there when the base was added" in str(problem.value)


def test_a_changed_file_is_named_before_what_it_broke(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    from voicelathe import layout

    facts = VOXCPM2.describe(base, "MIT", trained=True)
    entry = schema.Base("voxcpm2", "base", facts.digest, "MIT", True)
    assert bases.pinned("mine", entry) == facts  # without the record of `base add`, too
    digest.write_json(layout.base_record("mine"), records.to_json(facts))
    assert bases.pinned("mine", entry) == facts
    (base / "config.json").write_text("{")
    with pytest.raises(BaseModelError, match=r"config\.json: changed"):
        bases.pinned("mine", entry)
    other = schema.Base("voxcpm2", "base", "1" * 64, "MIT", True)
    assert bases.known("mine", other.digest) is None  # a record of another digest says nothing
