"""Verdict files that are edited, of another sweep, doubled or half finished never count, and say what to do instead."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import evaluations as make
from voicelathe import digest, records
from voicelathe.errors import SelectionError
from voicelathe.evaluate.listening import verdicts
from voicelathe.records import Sitting

KNOWN = make.candidates(10, 20, 30)
SPOKEN = make.samples(KNOWN)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    rows = make.paired_losses(
        {one: {"diff": 0.8, "stop": 0.1} for one in KNOWN}, num_recordings=2, clips_each=2
    )
    make.write_run(tmp_path, KNOWN, rows, SPOKEN)
    return tmp_path


def sitting(listener: str = "anna", mode: str = "rate") -> Sitting:
    return make.sitting(SPOKEN, lambda name, line, seed: 0.1 * len(name + line), listener, mode)


def exported(project: Path, one: Any, name: str = "export.json") -> Path:
    path = project / name
    path.write_text(json.dumps(records.to_json(one) if isinstance(one, Sitting) else one), encoding="utf-8")
    return path


def take(project: Path, one: Sitting) -> Path:
    return verdicts.import_file(exported(project, one), make.RECIPE, project)


@pytest.mark.parametrize("mode", ["rate", "rank", "pair"])
def test_a_finished_sitting_is_stored_beside_the_recipe_s_name(project: Path, mode: str) -> None:
    assert take(project, sitting(mode=mode)) == project / "verdicts/mini-lora.json"
    stored = verdicts.load(make.RECIPE, project)
    assert stored is not None and stored.sittings == [sitting(mode=mode)]


@pytest.mark.parametrize(
    "name", ["Anna ", "\u0430nna", "anna\u200b", "\uff41nna", "\u0410\u041d\u041d\u0410"]
)
def test_a_name_that_looks_like_another_one_is_no_second_listener(project: Path, name: str) -> None:
    take(project, sitting("anna"))
    if name.isupper():  # in Cyrillic this small letter does not look like a Latin one: it is another name
        assert take(project, sitting(name))
        return
    with pytest.raises(SelectionError, match="one listener counts once"):
        take(project, sitting(name))


def test_several_listeners_add_up_in_the_same_bytes_whatever_their_order(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    take(project, sitting("anna"))
    first = take(project, sitting("ben")).read_bytes()
    (project / "verdicts/mini-lora.json").unlink()
    take(project, sitting("ben"))
    assert take(project, sitting("anna")).read_bytes() == first


def test_nobody_has_listened_is_no_error(project: Path) -> None:
    assert verdicts.load(make.RECIPE, project) is None


def change(where: Callable[[dict[str, Any]], None], sealed: bool = True) -> Callable[[], dict[str, Any]]:
    def make_it() -> dict[str, Any]:
        value = records.to_json(sitting())
        where(value)
        if sealed:
            content = {name: part for name, part in value.items() if name != "digest"}
            value["digest"] = digest.of_value(content)
        return value

    return make_it


def drop_last(value: dict[str, Any]) -> None:
    value["judgements"].pop()


def first_opinion(value: dict[str, Any], **what: Any) -> None:
    value["judgements"][0]["opinions"][0].update(what)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "edited": (
        change(lambda value: first_opinion(value, score=3), sealed=False),
        "was edited or damaged after it was saved",
    ),
    "half finished": (change(drop_last), r"half finished.*\n  trial rate-.* is not answered"),
    "trial twice": (change(lambda v: v["judgements"].append(v["judgements"][0])), "is answered 2 times"),
    "unknown trial": (
        change(lambda v: v["judgements"][0].update(trial="rate-x#1")),
        "trial rate-x#1 is not part of this sweep",
    ),
    "other recipe": (change(lambda v: v.update(recipe="mini-full")), "voicelathe verdict import mini-full"),
    "other run": (
        change(lambda v: v.update(run_digest="0" * 64)),
        "about another sweep.*Listen to runs/mini-lora/listening.html again",
    ),
    "other sweep": (change(lambda v: v.update(sweep="0" * 64)), "about another sweep"),
    "other format": (
        change(lambda v: v.update(format="voicelathe-verdict/0")),
        "format 'voicelathe-verdict/0'",
    ),
    "no listener": (change(lambda v: v.update(listener="  ")), "the listener has no name"),
    "score too high": (
        change(lambda v: first_opinion(v, score=101)),
        r"scores \[.*101.*allowed are 0 to 100",
    ),
    "score below zero": (change(lambda v: first_opinion(v, score=-1)), "allowed are 0 to 100"),
    "stranger judged": (
        change(lambda v: first_opinion(v, candidate="step_0000099@1")),
        "does not judge exactly its 4 samples",
    ),
    "sample left out": (
        change(lambda v: v["judgements"][0]["opinions"].pop()),
        "does not judge exactly its 4 samples",
    ),
    "sample judged twice": (
        change(lambda v: v["judgements"][0]["opinions"].append(v["judgements"][0]["opinions"][0])),
        "does not judge exactly",
    ),
    "repeat denied": (
        change(lambda v: v["judgements"][-1].update(repeats=None)),
        "another line, seed or repetition",
    ),
    "unknown defect": (
        change(lambda v: first_opinion(v, defects=["ugly"])),
        "a defect that the page does not offer",
    ),
    "endless note": (
        change(lambda v: v["judgements"][0].update(note="x" * 2001)),
        "a note of 2001 characters",
    ),
    "unknown mode": (change(lambda v: v.update(mode="mushra")), "mode 'mushra'"),
    "text for a number": (
        change(lambda v: first_opinion(v, score="90")),
        "score = '90': expected int, got str",
    ),
    "a list for the whole": (lambda: [], "expected an object of Sitting"),
    "a field missing": (change(lambda v: v.pop("sweep"), sealed=False), r"missing \['sweep'\]"),
    "half a surrogate": (
        change(lambda v: v["judgements"][0].update(note="\ud800"), sealed=False),
        "was edited or damaged",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_believed_is_refused_and_nothing_is_written(project: Path, name: str) -> None:
    broken, message = REFUSED[name]
    with pytest.raises(SelectionError, match=f"(?s){message}"):
        verdicts.import_file(exported(project, broken()), make.RECIPE, project)
    assert list((project / "verdicts").iterdir()) == []


def test_a_or_b_allows_one_winner_at_most(project: Path) -> None:
    one = sitting(mode="pair")
    both = [replace(opinion, score=1) for opinion in one.judgements[0].opinions]
    with pytest.raises(SelectionError, match=r"scores \[1, 1\]"):
        take(
            project,
            make.seal(
                replace(one, judgements=[replace(one.judgements[0], opinions=both), *one.judgements[1:]])
            ),
        )


def test_the_same_file_twice_is_refused(project: Path) -> None:
    take(project, sitting())
    with pytest.raises(SelectionError, match=r"already imported\. Nothing to do"):
        take(project, sitting())


def test_one_listener_counts_once_whatever_the_spelling(project: Path) -> None:
    take(project, sitting("Anna"))
    with pytest.raises(SelectionError, match="one listener counts once"):
        take(project, sitting(" anna", mode="rank"))


def test_new_samples_make_an_imported_verdict_stale_and_the_way_out_is_named(project: Path) -> None:
    take(project, sitting())
    changed = [replace(one, sha256="1" * 64) for one in SPOKEN]
    records.write(project / "runs/mini-lora/samples.jsonl", changed)
    with pytest.raises(SelectionError, match="git rm"):
        take(project, make.sitting(changed, lambda *_: 0.0))


def test_a_stored_verdict_that_was_edited_is_refused(project: Path) -> None:
    path = take(project, sitting())
    path.write_text(re.sub('"score": [0-9]+', '"score": 99', path.read_text(), count=1))
    with pytest.raises(SelectionError, match="changed after its import"):
        verdicts.load(make.RECIPE, project)


def test_a_stored_verdict_that_is_not_one_names_the_way_back(project: Path) -> None:
    (project / "verdicts/mini-lora.json").write_text('{"recipe": "mini-lora"}')
    with pytest.raises(SelectionError, match="git checkout"):
        verdicts.load(make.RECIPE, project)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not a verdict file"),
        (b"", "not a verdict file"),
        (b"[" * 100_000, "not a verdict file"),
    ],
)
def test_any_other_file_is_refused(project: Path, content: bytes, message: str) -> None:
    (project / "x.json").write_bytes(content)
    with pytest.raises(SelectionError, match=message):
        verdicts.import_file(project / "x.json", make.RECIPE, project)


def test_a_missing_or_huge_file_is_refused(project: Path) -> None:
    with pytest.raises(SelectionError, match="no such file"):
        verdicts.import_file(project / "none.json", make.RECIPE, project)
    (project / "big.json").write_bytes(b" " * (verdicts.FORM.max_bytes + 1))
    with pytest.raises(SelectionError, match="too large"):
        verdicts.import_file(project / "big.json", make.RECIPE, project)
