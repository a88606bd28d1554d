"""`voicelathe cut`: a real recording with late subtitles and one that is wrong, from the first command to the imported manifest."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.data import tables
from voicelathe.data.audio import waveform
from voicelathe.data.cutting import decisions
from voicelathe.data.manifest import ingest
from voicelathe.records import CutDecisions, Proposal, sealed

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
GIVEN = ("--name", "talk", "--speaker", "lark", "--language", "English")
LATE_S = 0.7
WRONG = "Somebody else wrote this about a lighthouse."


def told() -> list[tuple[float, float, str]]:
    """Sentences of a recording of the demo that have a text, in order."""
    rows = [
        json.loads(line)
        for line in (ROOT / "data/demo/manifest.jsonl").read_text().splitlines()
        if "rec_23.opus" in line
    ]
    known = {
        row["start_s"]: (row["start_s"], row["end_s"], row["text"])
        for row in rows
        if len(row["text"]) > 10 and row["text"][0].isupper()
    }
    return [known[start_s] for start_s in sorted(known)]


def clock(at_s: float) -> str:
    return f"00:{int(at_s) // 60:02d}:{at_s % 60:06.3f}".replace(".", ",")


@pytest.fixture(scope="module")
def proposed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the real command has listened to a real recording; the fifth sentence's subtitle is another one."""
    folder = tmp_path_factory.mktemp("cut") / "project"
    (folder / "talks").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copy(ROOT / "data/demo/audio/rec_23.opus", folder / "talks/talk.opus")
    cues = [(a - LATE_S, b - LATE_S, WRONG if n == 4 else text) for n, (a, b, text) in enumerate(told())]
    srt = "\r\n".join(
        f"{n}\r\n{clock(a)} --> {clock(b)}\r\n<i>{text}</i>\r\n" for n, (a, b, text) in enumerate(cues, 1)
    )
    (folder / "talks/talk.en.srt").write_bytes(b"\xef\xbb\xbf" + srt.encode())
    command = [
        sys.executable,
        "-m",
        "voicelathe.cli",
        "cut",
        "propose",
        "talks",
        *GIVEN,
        "--short-share",
        "0",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "told.txt").write_text(done.stdout)
    return folder


@pytest.fixture
def copy(proposed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(proposed, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def proposal(folder: Path) -> Proposal:
    return records.read_one(folder / "data/talk/cut.json", Proposal)


def test_cuts_lie_in_the_pauses_and_the_wrong_subtitle_is_named(proposed: Path) -> None:
    made = proposal(proposed)
    assert made.language == "en" and made.is_text_checked
    assert " ".join(one.text for one in made.clips).replace(WRONG, told()[4][2]) == " ".join(
        text for *_, text in told()
    )
    speech = [(a + 0.1, b - 0.1) for a, b, _ in told()]
    for clip in made.clips:
        assert any(abs(clip.speech_start_s - a) < 0.15 for a, _ in speech), clip
        assert not any(
            a + 0.1 < edge_s < b - 0.2 for a, b in speech for edge_s in (clip.start_s, clip.end_s)
        ), clip
    assert [WRONG in one.text for one in made.clips] == ["text_differs" in one.flags for one in made.clips]
    out = (proposed / "told.txt").read_text()
    assert f"talk.en.srt:18: says '{WRONG}', heard '" in out and "0.8 s early" in out
    assert "Stretches of speech without a text, in no clip: 3" in out, "the demo's rows without a text"
    assert (proposed / "data/talk/cut-1.html").stat().st_size > 50_000
    assert not list((proposed / ".cache").rglob("*.scratch"))


def test_what_is_accepted_becomes_a_manifest_that_import_takes(copy: Path, run: Run) -> None:
    before = digest.of_file(copy / "talks/talk.opus")
    done = run("cut", "apply", "talk")
    assert done.code == 0, done.told
    assert "0 accepted by a person" in done.out and "1 wait and are left out" in done.out
    done = run("import", "data/talk/manifest.jsonl", "--audio-root", "talks")
    assert done.code == 0, done.told
    rows = ingest.read_pinned(params.load().ingest).rows
    assert len(rows) == len(proposal(copy).clips) - 1
    assert {(row.recording_id, row.speaker_id, row.language, row.audio) for row in rows} == {
        ("talk", "lark", "en", "talk.opus")
    }
    assert digest.of_file(copy / "talks/talk.opus") == before


def test_decisions_are_kept_and_replaced_and_the_recording_must_be_the_same(copy: Path, run: Run) -> None:
    made = proposal(copy)
    changed = [
        records.CutDecision(one.clip, "reject" if at == 0 else "accept", *decisions.times_ms(one), one.text)
        for at, one in enumerate(made.clips)
    ]
    whole = CutDecisions(decisions.FORMAT, "talk", decisions.digest_of(made), 1, changed, "")
    path = copy / "saved.json"
    digest.write_json(
        path,
        records.to_json(
            records.from_json(CutDecisions, {**records.to_json(whole), "digest": sealed.seal(whole)}, "")
        ),
    )
    for files in ((path,), ()):
        done = run("cut", "apply", "talk", *files)
        assert done.code == 0 and "1 rejected, 0 wait" in done.out, done.told
    assert run("cut", "apply", "talk", path, path).code == 1
    (copy / "talks/talk.opus").write_bytes(b"x")
    assert "not the recording that was cut" in run("cut", "apply", "talk").err


def test_a_second_proposal_needs_to_be_meant(copy: Path, run: Run) -> None:
    done = run("cut", "propose", "talks", *GIVEN)
    assert done.code == 1 and "--replace" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing", *GIVEN), "no such file or folder"),
        (("empty", *GIVEN), "no recording in it"),
        (("bare", *GIVEN), "no text beside it"),
        (("two", *GIVEN), "several texts beside it"),
        (("two", *GIVEN, "--subtitles", "two/a.srt"), "is a folder"),
        (("two/a.wav", *GIVEN, "--subtitles", "nothing.srt"), "no such file"),
        (("two/a.wav", *GIVEN, "--subtitles", "two/a.srt", "--min-s", "20"), "not less than"),
        (("two/a.wav", "--name", "raw", *GIVEN[2:]), "belongs to the pipeline"),
        (("two/a.wav", "--name", "../x", *GIVEN[2:]), "lower-case letters"),
        (("two/a.wav", *GIVEN[:-1], "klingonese", "--subtitles", "two/a.srt"), "no language that is known"),
        (("two/a.wav", *GIVEN[:-1], "de", "--subtitles", "two/a.txt"), "needs a recogniser that knows 'de'"),
    ],
)
def test_what_cannot_be_cut_is_said_before_anything_is_heard(
    project: Path, run: Run, arguments: tuple[str, ...], said: str
) -> None:
    for name in ("empty", "bare", "two"):
        (project / name).mkdir()
    for name in ("bare", "two"):
        waveform.write_wav(project / name / "a.wav", np.zeros(16_000, np.float32), 16_000)
    (project / "two/a.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nHello.\n")
    (project / "two/a.txt").write_text("Hello.\n")
    done = run("cut", "propose", *arguments)
    assert done.code == 1 and said in done.err, done.told
    assert not (project / "data").exists()


def test_silence_and_a_language_that_nobody_knows_are_said(project: Path, run: Run) -> None:
    (project / "quiet").mkdir()
    waveform.write_wav(project / "quiet/a.wav", np.zeros(48_000, np.float32), 16_000)
    (project / "quiet/a.vtt").write_text(
        "WEBVTT\n\n00:01.000 --> 00:02.000\nHallo.\n\n00:09.000 --> 00:10.000\nZu spät.\n"
    )
    done = run("cut", "propose", "quiet", *GIVEN[:-1], "de")
    assert done.code == 0, done.told
    for said in (
        "Nobody speaks",
        "No recogniser knows this language",
        "Cues that begin behind the end of the recording (3.0 s): 1",
        "Cues that were not heard anywhere and are in no clip: 1",
        "0 clips",
    ):
        assert said in done.out
    assert "The text was not checked" in (project / "data/talk/cut-1.html").read_text()
    assert "no clip was accepted" in run("cut", "apply", "talk").err
    assert re.search(r"cut propose PATH --name talk2", run("cut", "apply", "talk2").err)


def test_a_recording_that_is_cut_off_is_refused_by_name(project: Path, run: Run) -> None:
    (project / "torn").mkdir()
    waveform.write_wav(project / "torn/a.wav", np.zeros(48_000, np.float32), 16_000)
    (project / "torn/a.wav").write_bytes((project / "torn/a.wav").read_bytes()[:-5000])
    (project / "torn/a.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nHello.\n")
    done = run("cut", "propose", "torn", *GIVEN)
    assert done.code == 1 and "torn/a.wav: cannot be read (truncated" in done.err
    assert not (project / "data").exists()


def test_rows_that_are_too_long_are_offered_a_cut_and_the_others_stay(project: Path, run: Run) -> None:
    (project / "corpus").mkdir()
    shutil.copy(ROOT / "data/demo/audio/rec_23.opus", project / "corpus/talk.opus")
    (a, _, one), (_, b, two) = told()[:2]
    long = {"id": "long", "audio": "talk.opus", "start_s": a, "end_s": b, "text": f"{one} {two}"}
    short = {
        "id": "short",
        "audio": "talk.opus",
        "start_s": 52.05,
        "end_s": 55.19,
        "text": told()[-1][2],
        "mood": "calm",
    }
    common = {"recording_id": "talk", "speaker_id": "lark", "language": "en"}
    (project / "corpus/m.jsonl").write_text(
        "".join(json.dumps({**row, **common}) + "\n" for row in (long, short))
    )
    assert run("cut", "long", "--name", "recut").code == 1, "no audit yet"
    assert run("import", "corpus/m.jsonl").code == 0
    rows = ingest.read_pinned(params.load().ingest).rows
    records.write(layout.MANIFEST, rows)
    found = [
        records.Finding(row.clip_id, "too_long", "drop", "6 s", "5 s", "")
        for row in rows
        if row.user_id == "long"
    ]
    tables.write(layout.FINDINGS, found, records.Finding)
    done = run("cut", "long", "--name", "recut", "--min-s", "2", "--max-s", "5")
    assert done.code == 0, done.told
    made = records.read_one(project / "data/recut/cut.json", Proposal)
    assert [clip.text for clip in made.clips] == [one, two] and [clip.flags for clip in made.clips] == [
        [],
        [],
    ]
    assert all(a <= clip.start_s < clip.end_s <= b for clip in made.clips)
    done = run("cut", "apply", "recut")
    assert done.code == 0 and "in the place of 1 rows; 1 others" in done.out, done.told
    assert run("import", "data/recut/manifest.jsonl", "--audio-root", "corpus").code == 0
    again = ingest.read_pinned(params.load().ingest).rows
    assert [row.user_id for row in again] == ["short", "long_0001", "long_0002"]
    assert again[0].extra == {"mood": "calm"} and again[0].clip_id in {row.clip_id for row in rows}
    assert "nothing to cut" in run("cut", "long", "--name", "other", "--language", "de").err
