"""A voice keeps the lexicon that it was trained and judged with: in the registry, in what it says of itself, and where it is given away."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import runs
from tests.registry.test_say import RECIPE, configuration, desk_of
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.data.lexicon import lexicon_file, reading
from voicelathe.errors import RequestError
from voicelathe.process import jobs
from voicelathe.records import Lexicon, Respelling
from voicelathe.registry import export, gates, promote, served, voice
from voicelathe.registry.authority import Authority
from voicelathe.registry.speaking import tag
from voicelathe.tracking import registered, replay, store
from voicelathe.tracking import runs as tracked_runs

WORDS = Lexicon(  # words that YAML, in which MLflow keeps a version, could take for something else
    tuple(
        Respelling("en", *one) for one in (("10", "ten"), ("SQL", "sequel"), ("no", "know"), ("yes", "jess"))
    ),
    True,
)
DIGEST = lexicon_file.identity(WORDS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose texts were read with a lexicon, which the project does not have any more."""
    root = runs.project(tmp_path_factory.mktemp("read") / "project")
    plain = runs.planned(root)
    identity = replace(plain.identity, lexicon=WORDS)
    run_digest = digest.of_value(records.to_json(identity))
    directory = layout.weights(RECIPE, run_digest).as_posix()
    runs.finished(root, run=replace(plain, identity=identity, run_digest=run_digest, directory=directory))
    return root


@pytest.fixture
def files(tmp_path: Path, trained: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "project"))


@pytest.fixture
def tracked(files: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, files / "mlflow.db")
    replay.mirror_all(RECIPE, runs.tracking(), files)
    return files


def case(root: Path) -> gates.Case:
    return gates.examine(RECIPE, root, gates.load_params(root), None)


def test_the_configuration_of_a_version_holds_its_lexicon_and_without_one_is_as_before(
    files: Path, finished_project: Path
) -> None:
    config = served.configuration(case(files))
    assert served.lexicon_of(config) == WORDS
    plain = served.configuration(case(finished_project))
    assert "lexicon" not in plain and served.lexicon_of(plain) is None
    assert tag.of_lexicon(WORDS) == {"lexicon": DIGEST} and tag.of_lexicon(None) == {}


def test_an_export_holds_the_lexicon_and_says_how_to_use_it(files: Path, tmp_path: Path) -> None:
    export.export(RECIPE, tmp_path / "out", files)
    found = lexicon_file.read(tmp_path / "out/lexicon.yaml")
    assert found == WORDS and lexicon_file.identity(found) == DIGEST
    said = (tmp_path / "out/README.md").read_text()
    assert f"Texts were read with the lexicon `lexicon.yaml` (digest of what it says: `{DIGEST}`)" in said
    told = digest.read_json(tmp_path / "out/provenance.json")
    assert told["lexicon"] == DIGEST and "lexicon.yaml" in told["files"]
    (code,) = [part for part in said.split("```python\n") if part.startswith("from pathlib")]
    names = {"text": "SQL 25"}
    source = code.split("```")[0].replace('"lexicon.yaml"', f'"{(tmp_path / "out/lexicon.yaml").as_posix()}"')
    exec(source, names)
    assert names["text"] == "sequel twenty five" == reading.as_read(WORDS, "SQL 25", "en")


class _Asked:
    """A speaker that remembers what it was asked, and says nothing."""

    is_alive = True

    def say(self, request: jobs.SpeakRequest, limit_s: float | None) -> records.SampleRecord:
        self.request = request
        raise RequestError("asked")


def test_what_is_promoted_is_spoken_with_its_own_lexicon_and_says_so(tracked: Path) -> None:
    project, promotion = tracked, promote.promote(RECIPE, tracked)
    models = registered.Registered(
        store.connect(gates.load_params(project).tracking, project), promotion.name
    )
    assert (models.tags(promotion.version) or {})["voicelathe.lexicon"] == DIGEST
    kept = registered.registration(store.address(project), f"models:/{promotion.name}/{promotion.version}")
    assert served.lexicon_of(kept.config) == WORDS
    other = project / "lexicon.yaml"
    other.write_text("respell: {en: {SQL: another}}")
    pinned = {
        "lexicon/file": "lexicon.yaml",
        "lexicon/digest": lexicon_file.identity(lexicon_file.read(other)),
    }
    params.edit(pinned, project / "params.yaml")
    speaker = _Asked()
    spoken = voice.Voice(
        configuration(project), project, desk_of(speaker), tempfile.TemporaryDirectory(), Authority(project)
    )
    with pytest.raises(RequestError, match="asked"):
        spoken.say("SQL", {})
    assert speaker.request.lexicon == WORDS, "not what the project says now"
    assert spoken.understood(["SQL"], {}).about["lexicon"] == DIGEST


def test_a_version_of_before_is_spoken_as_it_is_written(project: Path) -> None:
    promotion = promote.promote(RECIPE, project)
    models = registered.Registered(
        store.connect(gates.load_params(project).tracking, project), promotion.name
    )
    assert "voicelathe.lexicon" not in (models.tags(promotion.version) or {})
    spoken = voice.Voice(
        configuration(project), project, desk_of(_Asked()), tempfile.TemporaryDirectory(), Authority(project)
    )
    asked = spoken.understood(["SQL"], {})
    assert asked.lexicon is None and "lexicon" not in asked.about


def test_an_export_without_a_lexicon_says_nothing_of_one(finished_project: Path, tmp_path: Path) -> None:
    export.export(RECIPE, tmp_path / "out", finished_project)
    assert not (tmp_path / "out/lexicon.yaml").exists()
    assert "lexicon" not in (tmp_path / "out/README.md").read_text()
    assert "lexicon" not in digest.read_json(tmp_path / "out/provenance.json")


def test_mlflow_compares_runs_by_the_digest_of_a_lexicon_and_never_gets_its_entries(trained: Path) -> None:
    """A parameter holds 6,000 characters."""
    run = records.read_one(trained / layout.run(RECIPE, "run.json"), records.RunRecord)
    many = Lexicon(tuple(Respelling("en", f"word{number}", "a" * 50) for number in range(500)), False)
    given = dict(tracked_runs._params(replace(run, identity=replace(run.identity, lexicon=many))))
    assert given["lexicon"] == lexicon_file.identity(many) and max(map(len, given.values())) < 6000
    assert not [name for name in given if name.startswith("lexicon.")]
    plain = dict(tracked_runs._params(replace(run, identity=replace(run.identity, lexicon=None))))
    assert "lexicon" not in plain and plain.keys() == given.keys() - {"lexicon"}
