"""`voicelathe export-data`: what passed the gate, in each layout, is read back as the same clips; nothing else is exported."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.factories import audio as sounds
from tests.factories import rows
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.data.audio import waveform
from voicelathe.data.manifest import ingest
from voicelathe.records import CleanClip

FORMATS = ("voxcpm", "qwen3-tts", "cosyvoice", "ljspeech", "audiofolder")
RECORDING = r"([^/]+)-[^-/]+\.wav$"  # of the names that an export gives
SPLITS = {"train": (1, 2, 3), "validation": (4,), "test": (5,)}
TEXTS = (
    "It rains.",
    'He said "no", and left.',
    "Größe, 声 and नमस्ते.",
    "Two\n lines\tand a tab.",
    "The last one.",
)


@pytest.fixture
def gated(project: Path) -> dict[str, list[CleanClip]]:
    """Five clips of five recordings, two each in one file, three of them in stereo or cut short; all passed the gate."""
    root = project / "data/demo/audio"
    made: dict[str, list[CleanClip]] = {}
    for split, numbers in SPLITS.items():
        made[split] = []
        for number in numbers:
            samples = sounds.speech(4.0, seed=number)
            stereo = np.stack([samples, samples], axis=1)
            path = sounds.write(root / f"rec {number}.flac", stereo if number == 2 else samples, 16000)
            clip = rows.clean_clip(
                number,
                clip_id=f"{number:016x}" + ("-2" if number == 3 else ""),
                audio=path.name,
                start_s=0.5,
                end_s=3.75,
                duration_s=3.25,
                text=TEXTS[number - 1],
                recording_id=f"rec {number}",
                audio_sha256=digest.of_file(path),
                ref_audio="rec 1.flac" if number == 1 else None,
            )
            made[split].append(clip)
        records.write(layout.split(split), made[split])
    pass_gate("required")
    return made


def pass_gate(policy: str) -> None:
    shas = {name: digest.of_file(layout.split(name)) for name in layout.SPLITS}
    passed = records.Passed(shas, policy, {"awb": "a" * 64}, {"data/raw/manifest.jsonl": "b" * 64})
    digest.write_json(layout.GATE, records.to_json(passed))


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_is_imported_again_as_the_same_clips(
    project: Path, run: Run, gated: dict[str, list[CleanClip]], form: str
) -> None:
    done = run("export-data", "out", "--format", form)
    assert done.code == 0, done.told
    assert "3 clips for train, 1 clips for validation, 1 clips for test" in done.out
    said = () if form in ("cosyvoice", "audiofolder") else ("--speaker", "awb")
    language = () if form == "audiofolder" else ("--language", "en")
    rule = () if form == "audiofolder" else ("--recording-from", RECORDING)
    back = run("import", "out/train", *said, *language, *rule)
    assert back.code == 0, back.told
    chosen = params.load().ingest
    read = ingest.read_pinned(chosen)
    assert read.rejected == [] and {row.audio_problem for row in read.rows} == {None}
    lines = form in ("voxcpm", "qwen3-tts")
    want = {clip.text if lines else " ".join(clip.text.split()): clip for clip in gated["train"]}
    assert {row.text for row in read.rows} == set(want)
    assert len({row.recording_id for row in read.rows}) == 3
    for row in read.rows:
        clip = want[row.text or ""]
        there, rate_hz = waveform.read_clip(Path(chosen.audio_root), row.audio, None, None, None)
        assert rate_hz == (24000 if form == "qwen3-tts" else 16000)
        if rate_hz == 16000:
            original = waveform.read_mono(project / "data/demo/audio", clip, 16000)
            assert np.array_equal(waveform.to_16_bit(there[:, 0]), waveform.to_16_bit(original))
        assert (row.speaker_id, row.language) == ("awb", "en")


def test_qwen_gets_a_reference_for_every_row(
    project: Path, run: Run, gated: dict[str, list[CleanClip]]
) -> None:
    assert run("export-data", "out", "--format", "qwen3-tts").code == 0
    found = [json.loads(line) for line in Path("out/validation/train_raw.jsonl").read_text().splitlines()]
    train = [json.loads(line) for line in Path("out/train/train_raw.jsonl").read_text().splitlines()]
    assert [set(row) for row in (*train, *found)] == [{"audio", "text", "ref_audio"}] * 4
    assert (
        found[0]["ref_audio"] == train[0]["audio"]
    )  # a clip of the training split, never of the held-out ones
    assert "/references/" in train[0]["ref_audio"]  # the manifest's own
    for row in (*train, *found):
        assert waveform.header(Path(row["ref_audio"]).parent, Path(row["ref_audio"]).name).rate_hz == 24000


def test_voxcpm_gets_references_only_where_the_manifest_has_them(
    project: Path, run: Run, gated: dict[str, list[CleanClip]]
) -> None:
    assert run("export-data", "out", "--format", "voxcpm").code == 0
    found = [json.loads(line) for line in Path("out/train/train.jsonl").read_text().splitlines()]
    assert ["ref_audio" in row for row in found] == [True, False, False]
    reference, _ = waveform.read_clip(
        Path("out/train/references"), Path(found[0]["ref_audio"]).name, None, None, None
    )
    assert len(reference) == 64000


@pytest.mark.parametrize("form", FORMATS)
def test_a_control_is_written_as_upstream_reads_it_or_said_to_be_left_out(
    project: Path, run: Run, gated: dict[str, list[CleanClip]], form: str
) -> None:
    first, *others = gated["train"]
    records.write(layout.split("train"), [replace(first, control=" slow "), *others])
    pass_gate("required")
    told = run("export-data", "out", "--format", form).out
    if form == "voxcpm":
        texts = [json.loads(line)["text"] for line in Path("out/train/train.jsonl").read_text().splitlines()]
        assert texts[0] == "(slow)It rains." and texts[1:] == [one.text for one in others]
        assert "1 clips have a control; in the format voxcpm it stands in front of their text." in told
    else:
        assert f"1 clips have a control; in the format {form} it is not written" in told
        assert not [path for path in Path("out/train").glob("*.*") if b"slow" in path.read_bytes()]


def test_kaldi_files_are_sorted_and_complete(
    project: Path, run: Run, gated: dict[str, list[CleanClip]]
) -> None:
    assert run("export-data", "out", "--format", "cosyvoice").code == 0
    files = {
        name: Path("out/train", name).read_text().splitlines()
        for name in ("wav.scp", "text", "utt2spk", "spk2utt")
    }
    ids = [line.split(" ")[0] for line in files["wav.scp"]]
    assert ids == sorted(ids) == [line.split(" ")[0] for line in files["text"]]
    assert files["utt2spk"] == [f"{one} awb" for one in ids] and files["spk2utt"] == ["awb " + " ".join(ids)]


def test_an_audiofolder_names_files_beside_it(
    project: Path, run: Run, gated: dict[str, list[CleanClip]]
) -> None:
    assert run("export-data", "out", "--format", "audiofolder").code == 0
    with Path("out/train/metadata.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert all((Path("out/train") / row["file_name"]).is_file() for row in found) and len(found) == 3
    assert found[1]["transcription"] == 'He said "no", and left.'


def test_a_text_that_a_format_cannot_hold_is_refused_before_anything_is_written(
    project: Path, run: Run, gated: dict[str, list[CleanClip]]
) -> None:
    records.write(layout.split("test"), [replace(gated["test"][0], text="a|b")])
    pass_gate("required")
    done = run("export-data", "out", "--format", "ljspeech")
    assert done.code == 1 and "0000000000000005: a|b" in done.err and "audiofolder" in done.err
    assert not Path("out").exists()


def test_only_what_passed_the_gate_is_exported(
    project: Path, run: Run, gated: dict[str, list[CleanClip]]
) -> None:
    records.write(layout.split("test"), [])
    assert "not what passed the gate" in run("export-data", "out", "--format", "voxcpm").err
    layout.GATE.unlink()
    done = run("export-data", "out", "--format", "voxcpm")
    assert done.code == 1 and done.err.startswith("GateError") and not Path("out").exists()


def test_an_export_never_overwrites(project: Path, run: Run, gated: dict[str, list[CleanClip]]) -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    assert "not empty" in run("export-data", "out", "--format", "voxcpm").err
    assert [path.name for path in Path("out").iterdir()] == ["mine.txt"]


def test_data_that_passed_for_research_carries_its_stamp(
    project: Path, run: Run, gated: dict[str, list[CleanClip]]
) -> None:
    pass_gate("research")
    done = run("export-data", "out", "--format", "voxcpm")
    stamp = json.loads(Path("out/provenance.json").read_text())
    assert "consent.policy = research" in done.out
    assert (stamp["consent_policy"], stamp["promotable"]) == ("research", False)
    assert "awb" not in json.dumps(stamp)  # who speaks is nobody's business there


def test_two_names_that_look_alike_as_files_stay_two(
    project: Path, run: Run, gated: dict[str, list[CleanClip]]
) -> None:
    alike = [replace(gated["train"][0], recording_id=name) for name in ("a/b", "a b", "a_b")]
    records.write(layout.split("train"), [replace(one, clip_id=f"{n:016x}") for n, one in enumerate(alike)])
    pass_gate("required")
    assert run("export-data", "out", "--format", "ljspeech").code == 0
    stems = [path.stem for path in Path("out/train/wavs").iterdir()]
    assert len({stem.rsplit("-", 1)[0] for stem in stems}) == 3
