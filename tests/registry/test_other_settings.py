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
from voicelathe.registry.history import journal
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


@pytest.mark.parametrize(
    "place", [".git/hooks", "src", "checkpoints/a/../../.git/hooks", "checkpoints/a/.git/step_1"]
)
def test_a_strangers_branch_does_not_choose_where_files_are_put(
    promoted: Path, tmp_path: Path, place: str
) -> None:
    """Journals of other branches say which weights are brought back. Its author may also write to the archive."""
    bucket = tmp_path / "bucket"

    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *words], cwd=promoted, check=True, capture_output=True)

    def put(content: bytes) -> str:
        sha256 = digest.of_bytes(content)
        (bucket / sha256[:2]).mkdir(parents=True, exist_ok=True)
        (bucket / sha256[:2] / sha256).write_bytes(content)
        return sha256

    archive.archive(str(bucket), [RECIPE], promoted, every=True)
    hook = b"#!/bin/sh\n"
    files = {"post-checkout": {"sha256": put(hook), "bytes": len(hook)}}
    line = json.loads((promoted / journal.FILE).read_text().splitlines()[-1])
    line["promotion"] |= {
        "path": place,
        "checkpoint_sha256": put(digest.canonical_json({"files": files}).encode()),
        "run_digest": "f" * 64,
    }
    (bucket / f"runs/{'f' * 64}.json").write_text("{}")
    git("init", "-q", "-b", "main")
    git("add", "params.yaml", "registry")
    git("commit", "-qm", "ours")
    git("switch", "-qc", "theirs")
    (promoted / journal.FILE).write_text(json.dumps(line) + "\n")
    git("commit", "-qam", "theirs")
    git("switch", "-q", "main")
    archive.restore(str(bucket), [RECIPE], promoted, every=True)
    assert not list(promoted.rglob("post-checkout")) and not list(promoted.rglob(".git/**/step_1"))


def test_the_gates_are_asked_of_the_weights_and_settings_that_were_judged(promoted: Path) -> None:
    judge_with(promoted, guidance=1.5)
    case = gates.examine(RECIPE, promoted, gates.load_params(promoted), None)
    assert served.configuration(case)["decoding"]["guidance"] == 1.5
