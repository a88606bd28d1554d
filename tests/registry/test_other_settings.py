"""The same weights with other decoding settings are another version: promoted anew, told apart, and known in their files."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.registry.test_say import _Heard, _Scratch, desk_of
from voicelathe import checkpoints, digest
from voicelathe.errors import RequestError
from voicelathe.registry import gates, promote, served, voice
from voicelathe.registry.authority import Authority
from voicelathe.registry.history import journal, reachable
from voicelathe.registry.promoted import registration
from voicelathe.registry.speaking import say
from voicelathe.registry.weights import archive

RECIPE = "mini-lora"


def judge_with(root: Path, **change: float) -> None:
    """What `dvc repro select@RECIPE` leaves after an edit of `speak:`: the same weights, heard with other settings."""
    rows = root / f"runs/{RECIPE}/samples.jsonl"
    samples = [json.loads(line) for line in rows.read_text().splitlines()]
    for one in samples:
        one["decoding"].update(change)
    rows.write_text("".join(f"{digest.canonical_json(one)}\n" for one in samples))
    path = root / f"runs/{RECIPE}/selection.json"
    found = digest.read_json(path)
    found["decoding"].update(change)
    found["inputs"] |= digest.of_files(
        {name: root / name for name in found["inputs"] if (root / name).is_file()}
    )
    digest.write_json(path, found)


def test_weights_that_were_judged_with_other_settings_are_promoted_as_another_version(promoted: Path) -> None:
    before = promote.history(promoted)[-1].promotion
    assert promote.promote(RECIPE, promoted).version == before.version, "nothing has changed"
    judge_with(promoted, steps=20.0)
    after = promote.promote(RECIPE, promoted, "other settings")
    assert after.version != before.version and after.checkpoint_sha256 == before.checkpoint_sha256
    assert _config(promoted, after.version)["decoding"]["steps"] == 20.0
    authority = Authority(promoted)
    for version, steps in ((before.version, 10.0), (after.version, 20.0)):
        config = _config(promoted, version)
        assert config["decoding"]["steps"] == steps and authority.promotion_of(config).version == version
    back = promote.rollback(promoted, "the former settings")
    assert back.version == before.version


def _config(root: Path, version: str) -> dict[str, object]:
    one = next(e.promotion for e in promote.history(root) if e.promotion.version == version)
    return registration(root, one).config


def test_a_version_from_before_settings_were_named_speaks_with_upstreams_and_takes_others(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registered without `decoding` in configuration, options and journal, as an earlier release did."""
    configuration = served.configuration
    with monkeypatch.context() as earlier:
        earlier.setattr(
            served,
            "configuration",
            lambda case: {k: v for k, v in configuration(case).items() if k != "decoding"},
        )
        earlier.setattr(served, "_decoding_options", lambda config: {})
        promote.promote(RECIPE, project)
    done = promote.history(project)[-1].promotion
    config = registration(project, done).config
    assert "decoding" not in config
    own = voice.Voice(config, project, desk_of(_Heard()), _Scratch(project), Authority(project))
    usual = own.understood(["Hello."], {})
    assert usual.decoding["steps"] == 10.0 and usual.about["as_judged"] is True
    other = own.understood(["Hello."], {"version": done.version, "steps": 20.0})
    assert other.decoding["steps"] == 20.0 and other.about["as_judged"] is False
    with pytest.raises(RequestError, match=r"decoding: steps = 0: must be from 1 to 100"):
        say.speak_production("Hello.", project / "out.wav", project, {}, settings={"steps": 0.0})
    assert promote.promote(RECIPE, project).version == done.version, "upstream's values are what it has"


@pytest.mark.parametrize("name", ["seed", "language", "version", "attempts"])
def test_only_settings_of_the_family_are_settings(promoted: Path, name: str) -> None:
    with pytest.raises(RequestError, match=f"decoding: {name}: no such setting"):
        say.speak_production("Hello.", promoted / "out.wav", promoted, {}, settings={name: 1.0})


def test_a_fine_tuned_directory_is_no_base(promoted: Path) -> None:
    """A full checkpoint opens like a base; nobody asks there for its speaker's consent."""
    for name in (checkpoints.MANIFEST, say.PROVENANCE):
        place = promoted / "given" / name
        place.mkdir(parents=True)
        with pytest.raises(RequestError, match=r"is a fine-tuned voice and no base"):
            say.speak_base("Hello.", place.parent, promoted / "out.wav", promoted, {})
        place.rmdir()


def test_what_a_strangers_branch_calls_weights_is_put_nowhere_else(promoted: Path, tmp_path: Path) -> None:
    """Journals of other branches say which weights are brought back; a branch that was only fetched must not choose the place."""

    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *words], cwd=promoted, check=True, capture_output=True)

    archive.archive(str(tmp_path / "bucket"), [RECIPE], promoted, every=True)
    git("init", "-q", "-b", "main")
    git("add", "params.yaml", "registry")
    git("commit", "-qm", "ours")
    line = json.loads((promoted / journal.FILE).read_text().splitlines()[-1])
    git("switch", "-qc", "theirs")
    places = (".git", "src", "checkpoints", "checkpoints/../.git/a/step_1", "checkpoints/a/.git/step_1")
    told = [{**line, "promotion": {**line["promotion"], "path": place}} for place in places]
    (promoted / journal.FILE).write_text("".join(json.dumps(one) + "\n" for one in told))
    git("commit", "-qam", "theirs")
    git("switch", "-q", "main")
    before = (promoted / ".git/config").read_bytes()
    assert not {one.path for one in reachable.promotions(promoted)} & set(places)
    archive.restore(str(tmp_path / "bucket"), [RECIPE], promoted, every=True)
    assert (promoted / ".git/config").read_bytes() == before


def test_the_gates_are_asked_of_the_weights_and_settings_that_were_judged(promoted: Path) -> None:
    judge_with(promoted, guidance=1.5)
    case = gates.examine(RECIPE, promoted, gates.load_params(promoted), None)
    assert served.configuration(case)["decoding"]["guidance"] == 1.5
