"""`voicelathe import` and `pin`: a user's corpus becomes the pinned raw manifest, and what is missing is said, not guessed."""

import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.factories import corpora
from voicelathe import lines
from voicelathe.config import params
from voicelathe.data.audio import files
from voicelathe.data.manifest import importing, ingest, recognising, recording_rules
from voicelathe.data.sources import gather
from voicelathe.errors import ManifestError

RULE = r"([^/]+?)[-_.]\d+\.[^./]+$"
FILLED = ("--speaker", "anna", "--language", "en")


@pytest.mark.parametrize("name", corpora.FORMATS)
def test_each_format_is_recognised_said_and_pinned(project: Path, run: Run, name: str) -> None:
    path = corpora.FORMATS[name](project / "corpus")
    options = () if name == "voicelathe" else ("--recording-from", RULE, *FILLED)
    done = run("import", path, *options)
    assert done.code == 0, done.told
    assert f"format {name} (" in done.out
    assert "12 rows of 4 recordings, 12 audio files, speakers anna." in done.out
    assert "No line was rejected." in done.out
    assert "voicelathe consent new anna --purpose train --purpose clone --language en" in done.out
    written = params.load().ingest
    assert written.format == name
    assert (written.sha256, written.audio_digest) == ingest.pins(written)
    assert not Path(written.manifest).is_absolute()
    assert len(ingest.read_pinned(written).rows) == 12


@pytest.mark.parametrize("name", corpora.OTHERS)
def test_a_cosyvoice_or_hugging_face_folder_is_recognised_and_pinned(
    project: Path, run: Run, name: str
) -> None:
    made, format = corpora.OTHERS[name]
    options = ("--language", "en") if name == "cosyvoice" else FILLED
    done = run("import", made(project / "corpus"), "--recording-from", RULE, *options)
    assert done.code == 0, done.told
    assert "12 rows of 4 recordings, 12 audio files, speakers anna." in done.out
    written = params.load().ingest
    assert written.format == format
    read = ingest.read_pinned(written)
    assert [row.text for row in read.rows] == [corpora.text(at) for at in range(12)] and read.rejected == []
    if name == "cosyvoice":
        assert (written.manifest, written.audio_root) == ("data/corpus/manifest.jsonl", "corpus")
        assert [row.user_id for row in read.rows] == [f"u{at}" for at in range(12)]


def test_held_out_lines_of_another_corpus_are_named_before_the_gate_stops(project: Path, run: Run) -> None:
    path, done = corpora.voxcpm(project / "corpus"), []
    settings = params.load()
    pack = settings.recipes[min(settings.recipes)].listen.lines
    own = lines.read(Path(__file__).parents[2] / "lines/demo.jsonl")
    held_out = [
        replace(own[0], id=f"held-out-c{at}", clip_id=f"c{at}", speaker="anna", recording_id="r")
        for at in range(3)
    ]
    known = [corpora.text(at) for at in range(3)]
    for texts in (["Of somebody else.", *known[1:]], [known[0].upper(), *known[1:]]):
        lines.write(
            Path(pack), [replace(line, text=said) for line, said in zip(held_out, texts, strict=True)]
        )
        done.append(run("import", path, "--recording-from", RULE, *FILLED))
    hint = f"{pack}: 1 of 3 held-out lines are of another corpus"
    assert [one.code for one in done] == [0, 0] and [hint in one.out for one in done] == [True, False]


def test_the_formats_we_recognise_are_those_of_the_settings() -> None:
    assert set(gather.PLAIN) == set(corpora.FORMATS)


def test_the_format_can_be_overridden(project: Path, run: Run) -> None:
    path = corpora.voxcpm(project / "corpus")
    done = run("import", path, "--format", "voicelathe", "--recording-from", RULE, *FILLED)
    assert "format voicelathe (as --format says)" in done.out
    assert params.load().ingest.format == "voicelathe"


def test_without_a_recording_rule_import_stops_shows_paths_and_proposes_one(project: Path, run: Run) -> None:
    before = Path("params.yaml").read_text()
    done = run("import", corpora.voxcpm(project / "corpus"), *FILLED)
    assert done.code == 1
    assert done.err.startswith(
        "ManifestError: 12 rows of corpus/train.jsonl do not say which source recording"
    )
    assert "  talk01_001.wav" in done.err
    assert "4 recordings of 3 to 3 clips" in done.err
    assert f"--recording-from '{RULE}'" in done.err
    assert Path("params.yaml").read_text() == before
    repeated = re.search(r"--recording-from '(.*)'", done.err)
    assert repeated is not None
    assert run("import", "corpus/train.jsonl", *FILLED, "--recording-from", repeated.group(1)).code == 0


def test_a_terminal_is_asked_for_the_rule_and_can_refuse_a_bad_one(project: Path) -> None:
    corpora.voxcpm(project / "corpus")
    told, code = in_terminal(
        ["import", "corpus/train.jsonl", *FILLED], ["(", "nothing(x)", r"(talk\d)", "n", "", "y"]
    )
    assert code == 0, told
    assert "is not a regular expression" in told
    assert "fits none of 12 audio paths" in told
    assert "1 recordings of 12 to 12 clips (talk0, ...)" in told
    assert params.load().ingest.recording_from == RULE  # the proposal, accepted with Enter


@pytest.mark.parametrize("missing, option", [("speaker", "--speaker ID"), ("language", "--language CODE")])
def test_a_missing_speaker_or_language_names_its_option(
    project: Path, run: Run, missing: str, option: str
) -> None:
    given = {"speaker": ("--language", "en"), "language": ("--speaker", "anna")}[missing]
    done = run("import", corpora.voxcpm(project / "corpus"), "--recording-from", RULE, *given)
    assert done.code == 1
    assert (
        done.err == f"ManifestError: Rows without a {missing}, and no terminal to ask on. Give it: {option}\n"
    )


@pytest.mark.parametrize(
    "rule, told", [("(", "is not a regular expression"), ("talk", "captures nothing"), ("(zz)", "fits none")]
)
def test_a_useless_rule_is_refused(project: Path, run: Run, rule: str, told: str) -> None:
    done = run("import", corpora.voxcpm(project / "corpus"), "--recording-from", rule, *FILLED)
    assert done.code == 1 and told in done.err and "Traceback" not in done.err


def test_columns_that_look_like_ours_are_offered_and_read_or_left_as_somebody_says(
    project: Path, run: Run
) -> None:
    path = corpora.json_lines(
        project / "corpus" / "cuts.jsonl",
        [
            {"audio": name, "text": "The lamp is on.", "start": 0.0, "end": 0.1, "speaker": "bert", "mood": 1}
            for name in corpora.audio(project / "corpus")
        ],
    )
    asked = ("--recording-from", RULE, *FILLED)
    stopped = run("import", path, *asked)
    told = "end like end_s, speaker like speaker_id, start like start_s"
    offer = "--map end=end_s --map speaker=speaker_id --map start=start_s"
    assert stopped.code == 1 and told in stopped.err and offer in stopped.err
    done = run("import", path, *asked, *offer.split())
    assert done.code == 0, done.told
    assert (
        "Columns that are kept but not read: mood. Those that are: id, audio, start_s, end_s, text,"
        in done.out
    )
    row = ingest.read_pinned(params.load().ingest).rows[0]
    assert (row.start_s, row.end_s, row.speaker_id) == (0.0, 0.1, "bert")
    left = run("import", path, *asked, "--map", "start=", "--map", "end=", "--map", "speaker=")
    assert left.code == 0 and "not read: end, mood, speaker, start." in left.out
    assert 'The first: talk01_001.wav says "The lamp is on."' in left.out
    row = ingest.read_pinned(params.load().ingest).rows[0]
    assert (row.start_s, row.end_s, row.speaker_id) == (None, None, "anna")
    ours = run("import", corpora.ours(project / "other"))
    assert "not read" not in ours.out


@pytest.mark.parametrize("option", ["start", "start=begin", "=start_s"])
def test_a_mapping_that_maps_nothing_is_refused(project: Path, run: Run, option: str) -> None:
    done = run("import", corpora.voxcpm(project / "corpus"), "--map", option)
    assert done.code == 1 and "for example --map start=start_s" in done.err


def test_a_terminal_is_asked_for_each_column(project: Path) -> None:
    rows = [{"audio": name, "text": "x", "start_ms": 50} for name in corpora.audio(project / "corpus")]
    corpora.json_lines(project / "corpus" / "train.jsonl", rows)
    told, code = in_terminal(["import", "corpus/train.jsonl", *FILLED, "--recording-from", RULE], ["y"])
    assert code == 0 and "Read the column start_ms as start_s?" in told
    assert ingest.read_pinned(params.load().ingest).rows[0].start_s == 0.05


@pytest.mark.parametrize("speaker", ["Jörg Müller", "张三"])
def test_a_speaker_who_cannot_name_a_record_is_imported_and_told_so(
    project: Path, run: Run, speaker: str
) -> None:
    path = corpora.voxcpm(project / "corpus")
    done = run("import", path, "--recording-from", RULE, "--speaker", speaker, "--language", "de")
    assert done.code == 0, done.told
    assert f"speaker_id {speaker!r} cannot name a consent record" in done.out and "--speaker" in done.out
    assert done.out.endswith("Commit it, then: dvc repro\n")


def test_columns_that_nothing_trains_with_are_said_with_what_to_do(project: Path, run: Run) -> None:
    path = corpora.voxcpm(project / "corpus")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    named = [{**line, "ref_audio": line["audio"]} if at < 5 else line for at, line in enumerate(lines)]
    named[0]["control"] = "slowly"
    corpora.json_lines(path, named)
    options = ("--recording-from", RULE, *FILLED)
    said = run("import", path, *options).out
    assert (
        "ref_audio: 5 rows name a reference, and no recipe trains with it. To train with it, set train.reference_share in a recipe "
        "(voxcpm2 only, docs/families/voxcpm2.md)"
    ) in said
    assert (
        "control: 1 rows have one, and no recipe trains with it. To train with it, set train.control: true in a recipe (voxcpm2 only, "
        "docs/families/voxcpm2.md). It is never counted as spoken"
    ) in said
    params.edit({"recipes/mini-lora/train/reference_share": 0.5, "recipes/mini-lora/train/control": True})
    used = run("import", path, *options).out
    assert "ref_audio: 5 rows" not in used and "control: 1 rows" not in used
    assert "not read: control" not in said
    corpora.json_lines(path, lines)
    plain = run("import", path, *options).out
    assert "ref_audio:" not in plain and "control:" not in plain


def test_controls_that_cannot_be_trained_with_are_said_by_line_and_value(project: Path, run: Run) -> None:
    path = corpora.voxcpm(project / "corpus")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    held = ["(slow)", "a\nb", "x" * 201, "  ", None, "whispering"]
    corpora.json_lines(path, [{**line, "control": one} for line, one in zip(lines, held, strict=False)])
    told = run("import", path, "--recording-from", RULE, *FILLED).out
    assert (
        "line 1: control '(slow)' cannot be trained with (brackets: it holds ( ); write the words alone"
        in told
    )
    assert r"line 2: control 'a\nb' cannot be trained with (control_characters" in told
    assert "line 3: control 'xxx" in told and "201 characters, at most 200" in told
    assert "control: 4 rows have one" in told and told.count("cannot be trained with") == 3


def test_a_manifest_without_any_text_is_imported_with_a_warning(project: Path, run: Run) -> None:
    told = "Warning: no row has a text. The column or key with the transcript must be called text."
    names = corpora.audio(project / "corpus")
    path = corpora.json_lines(project / "corpus" / "m.jsonl", [{"audio": one, "words": "x"} for one in names])
    assert told in run("import", path, "--recording-from", RULE, *FILLED).out
    assert told not in run("import", corpora.ours(project / "other")).out


def test_files_recorded_one_by_one_are_told_how_to_say_so(project: Path, run: Run) -> None:
    rows = [{"audio": name, "text": "x"} for name in corpora.audio(project / "corpus")]
    for at, row in enumerate(rows):
        (project / "corpus" / row["audio"]).rename(project / "corpus" / f"{at}.wav")
        row["audio"] = f"{at}.wav"
    path = corpora.json_lines(project / "corpus" / "takes.jsonl", rows)
    done = run("import", path, *FILLED)
    assert done.code == 1 and "Only where every file is a take of its own" in done.err
    (rule,) = re.findall(r"of its own.*--recording-from '(.*)'", done.err)
    assert "12 rows of 12 recordings" in run("import", path, *FILLED, "--recording-from", rule).out


@pytest.mark.parametrize(
    "audio, told",
    [
        ("wavs\\gone{}", "invalid_path, a backslash: write folders with /"),
        ("wavs/{}", "missing, there is no such file below ingest.audio_root"),
    ],
)
def test_audio_that_cannot_be_opened_is_told_with_its_reason(
    project: Path, run: Run, audio: str, told: str
) -> None:
    rows = [{"audio": audio.format(name), "text": "x"} for name in corpora.audio(project / "corpus")]
    path = corpora.json_lines(project / "corpus" / "cuts.jsonl", rows)
    done = run("import", path, "--recording-from", r"(talk\d+)", *FILLED)
    assert done.code == 1 and told in done.err


def test_a_name_that_the_folder_has_in_another_unicode_form_is_found_and_its_rule_fits(
    project: Path, run: Run
) -> None:
    names = corpora.audio(project / "corpus")
    for at, name in enumerate(names[:3]):
        (project / "corpus" / name).rename(project / "corpus" / unicodedata.normalize("NFD", f"kä_{at}.wav"))
        names[at] = f"kä_{at}.wav"
    path = corpora.json_lines(project / "corpus" / "k.jsonl", [{"audio": one, "text": "x"} for one in names])
    done = run("import", path, "--recording-from", "(kä|talk0.)", *FILLED)
    assert "3 paths had another Unicode form" in done.out and "12 rows of 4 recordings" in done.out
    read = ingest.read_pinned(params.load().ingest)
    assert read.details == {} and {row.recording_id for row in read.rows[:3]} == {"kä"}
    with pytest.raises(files.AudioProblem, match="another Unicode form, NFD"):  # set by hand in params.yaml
        files.hash_file(project / "corpus", "kä_0.wav")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_without_commas_is_read_and_as_csv_told_what_separates_columns(
    project: Path, run: Run, separator: str
) -> None:
    names = corpora.audio(project / "corpus")
    lines = [f"{name}{separator}Grün, oder?" for name in names]
    (project / "corpus" / "m.csv").write_text("\n".join([f"audio{separator}text", *lines]))
    told = run("import", "corpus/m.csv", "--format", "csv").err
    assert "separates columns with" in told and "Save it with commas." in told
    done = run("import", "corpus/m.csv", "--recording-from", RULE, *FILLED)
    assert done.code == 0, done.told
    assert {row.text for row in ingest.read_pinned(params.load().ingest).rows} == {"Grün, oder?"}


def test_no_line_is_lost_every_bad_one_is_shown_by_number(project: Path, run: Run) -> None:
    path = corpora.ours(project / "corpus")
    lines = path.read_bytes().splitlines()
    lines[3] = b'{"audio": "talk01_001.wav", '
    lines[5] = b"\xff\xfe nonsense"
    lines[7] = lines[7].replace(b"talk03_002.wav", b"gone.wav")
    path.write_bytes(b"\n".join([*lines, b""]))
    done = run("import", path)
    assert done.code == 0, done.told
    assert "10 rows of 4 recordings, 9 audio files" in done.out
    assert "1 rows whose audio is missing, the first on line 8: gone.wav" in done.out
    assert "2 lines are no rows; the pipeline keeps them in the quarantine:" in done.out
    assert "  line 4: not_json" in done.out and "  line 6: not_utf8" in done.out


def test_absolute_paths_are_made_relative_in_a_copy(project: Path, run: Run, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    rows = [{"audio": str(elsewhere / path), "text": "x"} for path in corpora.audio(elsewhere)]
    path = corpora.json_lines(tmp_path / "my-train.jsonl", rows)
    original = path.read_bytes() + b"not json\n"
    path.write_bytes(original)
    done = run("import", path, "--recording-from", RULE, *FILLED)
    assert done.code == 0, done.told
    assert "12 lines with absolute paths now start from" in done.out
    assert path.read_bytes() == original
    written = params.load().ingest
    assert (written.manifest, written.audio_root) == ("data/my-train/manifest.jsonl", str(elsewhere))
    lines = Path(written.manifest).read_text().splitlines()
    assert json.loads(lines[0])["audio"] == "talk01_001.wav"
    assert lines[12] == "not json"
    assert "  line 13: not_json" in done.out


def test_a_csv_with_absolute_paths_keeps_its_quotes(tmp_path: Path) -> None:
    manifest = tmp_path / "clips.csv"
    manifest.write_text('audio,text\n/a/b/x.wav,"one, ""two"""\n"/a/b/y, z.wav",three\n/c/w.wav,four\n')
    found = recognising.Found(manifest, "csv", tmp_path, "")
    assert importing.copy(found, Path("/a/b"), tmp_path / "copy.csv") == 2
    copied = (tmp_path / "copy.csv").read_text()
    assert copied == 'audio,text\nx.wav,"one, ""two"""\n"y, z.wav",three\n/c/w.wav,four\n'


def test_a_named_corpus_is_copied_into_the_project_unchanged(project: Path, run: Run, tmp_path: Path) -> None:
    path = corpora.ours(tmp_path / "outside")
    assert run("import", path, "--name", "anna").code == 0
    written = params.load().ingest
    assert written.manifest == "data/anna/manifest.jsonl"
    assert written.audio_root == str(tmp_path / "outside")
    assert Path(written.manifest).read_bytes() == path.read_bytes()
    for name, told in (("raw", "belongs to the pipeline"), ("My Voice", "lower-case letters")):
        refused = run("import", path, "--name", name)
        assert refused.code == 1 and told in refused.err


def test_a_column_is_kept_and_only_rows_without_it_need_the_rule(project: Path, run: Run) -> None:
    path = corpora.ours(project / "corpus")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[:2]:
        del row["recording_id"]
    for row in rows[2:]:
        row["recording_id"] = f"known-{row['recording_id']}"
    corpora.json_lines(path, rows)
    refused = run("import", path)
    assert refused.code == 1 and "2 rows of corpus/manifest.jsonl do not say" in refused.err
    assert run("import", path, "--recording-from", RULE).code == 0
    found = {row.recording_id for row in ingest.read_pinned(params.load().ingest).rows}
    assert found == {"talk01", "known-talk01", "known-talk02", "known-talk03", "known-talk04"}


def test_two_recordings_are_imported_with_a_warning(project: Path, run: Run) -> None:
    done = run("import", corpora.voxcpm(project / "corpus"), "--recording-from", r"talk\d([12])_", *FILLED)
    assert "Warning: 2 recordings cannot make train, validation and test" in done.out
    assert "line 7: missing_field, no recording_id" in done.out  # talk03 and talk04 do not fit the rule


@pytest.mark.parametrize(
    "content, told",
    [
        ("", "neither JSON lines"),
        ('{"wav": "a.wav", "text": "x"}\n', "no key audio among ['text', 'wav']"),
        ("some prose, and more\n", "neither JSON lines"),
    ],
)
def test_what_is_no_manifest_is_refused_with_what_was_seen(
    project: Path, run: Run, content: str, told: str
) -> None:
    Path("m.jsonl").write_text(content)
    done = run("import", "m.jsonl", *FILLED)
    assert done.code == 1 and done.err.startswith("ManifestError: m.jsonl") and told in done.err


def test_a_folder_with_several_manifests_asks_for_one(project: Path, run: Run) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        corpora.json_lines(project / "corpus" / name, [])
    assert "several manifests: a.jsonl, b.jsonl" in run("import", "corpus").err
    (project / "empty").mkdir()
    assert "no .jsonl or .csv file, no Parquet, and no audio with a .txt" in run("import", "empty").err
    assert "there is no such file or folder" in run("import", "nowhere").err


def test_a_wrong_audio_root_is_said_before_anything_is_written(project: Path, run: Run) -> None:
    before = Path("params.yaml").read_text()
    path = corpora.ours(project / "corpus")
    (project / "other").mkdir()
    done = run("import", path, "--audio-root", "other")
    assert done.code == 1 and "None of the 12 audio files" in done.err and "--audio-root" in done.err
    assert Path("params.yaml").read_text() == before


def test_pin_shows_old_and_new_and_accepts_the_change(project: Path, run: Run) -> None:
    path = corpora.ours(project / "corpus")
    assert run("import", path).code == 0
    old = params.load().ingest
    assert "Nothing to pin" in run("pin").out
    corpora.tone(project / "corpus" / "talk01_001.wav", hz=999)
    with pytest.raises(ManifestError, match="voicelathe pin"):
        ingest.read_pinned(old)
    done = run("pin")
    new = params.load().ingest
    assert f"ingest.audio_digest, of corpus\n  old {old.audio_digest}\n  new {new.audio_digest}" in done.out
    assert "ingest.sha256" not in done.out
    assert new.audio_digest != old.audio_digest and new.sha256 == old.sha256
    path.write_text(path.read_text().replace("The lamp is on.", "The lamp is off."))
    assert "ingest.sha256, of corpus/manifest.jsonl" in run("pin").out


@pytest.mark.parametrize(
    "paths, rule",
    [
        (["wavs/LJ001-0001.wav", "wavs/LJ001-0002.wav", "wavs/LJ002-0001.wav", "wavs/LJ002-0002.wav"], 0),
        (["t1/a.wav", "t1/b.wav", "t2/a.wav", "t2/b.wav"], 1),
        (["t1_a.wav", "t1_b.wav", "t2_a.wav", "t2_b.wav"], 3),
        (["a_1.wav", "b_1.wav", "c_1.wav", "c_2.wav"], None),  # hardly a recording with two clips
        (["a.wav", "b.wav", "c.wav", "d.wav"], None),  # one clip a file: nothing to propose
        (
            ["rec_1.wav", "rec_2.wav", "rec_3.wav", "rec_4.wav"],
            None,
        ),  # all one recording: a split would be impossible
    ],
)
def test_a_rule_is_proposed_only_where_it_finds_recordings(paths: list[str], rule: int | None) -> None:
    assert recording_rules.suggest(paths) == (None if rule is None else recording_rules.RULES[rule])


def test_comments_in_params_survive_an_import(project: Path, run: Run) -> None:
    comments = re.findall(r"#[^\n]*", Path("params.yaml").read_text())
    assert run("import", corpora.ours(project / "corpus")).code == 0
    now = Path("params.yaml").read_text()
    assert [comment for comment in comments if comment not in now] == []


def in_terminal(arguments: list[str], answers: list[str]) -> tuple[str, int]:
    """Run the command on a pseudo-terminal and type the answers; gives all that was shown and the exit code."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "voicelathe.cli", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
    ) as process:
        os.close(theirs)
        os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
        told = b""
        while True:
            try:
                told += os.read(ours, 4096)
            except OSError:  # the other side is gone
                break
    os.close(ours)
    return told.decode(), process.returncode
