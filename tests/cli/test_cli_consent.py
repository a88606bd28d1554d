"""`voicelathe consent`: a record is written with the speaker, never invented, never overwritten, and checked by the day."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.factories import corpora, watermarks
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.data.manifest import ingest

GRANT = ("--purpose", "train", "--purpose", "clone", "--language", "en", "--issued-by", "me")


@pytest.fixture
def evidence(project: Path) -> Path:
    path = project / "signed.pdf"
    path.write_bytes(b"%PDF signed by anna")
    return path


def test_a_complete_record_is_valid_and_keeps_only_the_sha256_of_its_evidence(
    project: Path, run: Run, evidence: Path
) -> None:
    done = run("consent", "new", "anna", *GRANT, "--evidence", evidence, "--contact", "folder 7")
    assert done.code == 0, done.told
    assert "Valid for train, clone." in done.out
    record = digest.read_json(Path("consent/anna.json"))
    assert record["evidence"] == [{"type": "signed_pdf", "sha256": digest.of_file(evidence), "path": None}]
    assert (
        [name for name, granted in record["purposes"].items() if granted],
        record["languages"],
        record["contact_ref"],
    ) == (
        ["clone", "train"],
        ["en"],
        "folder 7",
    )
    assert "anna" in run("consent", "list").out
    checked = run("consent", "check", "anna")
    assert checked.code == 0 and "anna     yes    yes" in checked.out


def test_an_incomplete_record_says_what_it_lacks(project: Path, run: Run) -> None:
    done = run("consent", "new", "anna", *GRANT)
    assert done.code == 0
    assert "Not valid yet: consent/anna.json: evidence is empty" in done.out
    assert "Not valid yet: consent/anna.json: contact_ref is empty" in done.out
    checked = run("consent", "check", "anna")
    assert checked.code == 1 and "anna     no     no" in checked.out
    assert checked.err.startswith("ConsentError:")


def test_a_demanded_watermark_is_checked_against_the_plug_ins_that_are_installed(
    project: Path, run: Run, evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("consent", "new", "anna", *GRANT, "--evidence", evidence, "--contact", "folder 7")
    path = Path("consent/anna.json")
    digest.write_json(path, {**digest.read_json(path), "watermark_required": True})
    without = run("consent", "check", "anna").out
    assert "anna     yes    no" in without and "consent.watermark in params.yaml names no plug-in" in without
    watermarks.on_path(monkeypatch, watermarks.install(tmp_path / "site"))
    params.edit({"consent/watermark": "bits"}, params.FILE)
    assert "anna     yes    yes" in run("consent", "check", "anna").out


def test_nothing_is_granted_by_default(project: Path, run: Run) -> None:
    done = run("consent", "new", "anna", "--language", "en", "--issued-by", "me")
    assert done.code == 2 and "--purpose" in done.err
    assert not Path("consent/anna.json").exists()


def test_a_record_is_never_overwritten(project: Path, run: Run) -> None:
    run("consent", "new", "anna", *GRANT)
    before = Path("consent/anna.json").read_bytes()
    done = run("consent", "new", "anna", *GRANT, "--purpose", "ads")
    assert done.code == 1 and "consent/anna.json exists" in done.err
    assert Path("consent/anna.json").read_bytes() == before


def test_missing_evidence_and_impossible_names_are_refused(project: Path, run: Run) -> None:
    assert "there is no such file" in run("consent", "new", "anna", *GRANT, "--evidence", "gone.pdf").err
    assert "cannot name a consent record" in run("consent", "new", "../anna", *GRANT).err
    assert not list(project.glob("**/anna.json"))


def test_speakers_of_the_manifest_are_checked_with_their_languages(
    project: Path, run: Run, evidence: Path
) -> None:
    assert "No speakers to check" in run("consent", "check").err
    run("import", corpora.ours(project / "corpus"))
    records.write(layout.MANIFEST, ingest.read_pinned(params.load().ingest).rows)
    assert "consent/anna.json is missing" in run("consent", "check").out
    german = [*GRANT[:4], "--language", "de", *GRANT[6:]]
    run("consent", "new", "anna", *german, "--evidence", evidence, "--contact", "folder 7")
    done = run("consent", "check")
    assert done.code == 1 and "languages ['de'] do not hold 'en'" in done.out


def test_the_line_that_import_prints_is_the_line_that_helps(project: Path, run: Run, evidence: Path) -> None:
    told = run("import", corpora.ours(project / "corpus")).out
    (line,) = [line.split() for line in told.splitlines() if "voicelathe consent new" in line]
    words = {"SIGNED.pdf": str(evidence), "WHERE": "shelf-1", "YOU": "me"}
    assert run(*[words.get(word, word) for word in line[1:]]).code == 0
    assert "Consent of anna: valid for training." in run("import", "corpus").out


def test_records_are_listed_and_broken_ones_named(project: Path, run: Run) -> None:
    assert "No records under consent/" in run("consent", "list").out
    digest.write_json(Path("consent/bob.json"), {"schema": 1})
    done = run("consent", "list")
    assert done.code == 1 and "consent/bob.json" in done.err


@pytest.mark.parametrize(
    "contact, is_private", [("anna@example.org", True), ("+49 30 901820", True), ("crm/1234", False)]
)
def test_an_address_in_a_record_that_goes_into_git_is_warned_of(
    run: Run, evidence: Path, contact: str, is_private: bool
) -> None:
    done = run("consent", "new", "anna", *GRANT, "--evidence", evidence, "--contact", contact)
    assert done.code == 0 and ("Git forgets nothing" in done.out) is is_private
