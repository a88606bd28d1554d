"""A decision reads the code of a reason, never its sentence; in files both are the one string that people read."""

import ast
import copy
import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.test_structure import nodes
from voicelathe import digest, records
from voicelathe.records import Reason

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Kept:
    """A record with reasons."""

    reasons: list[Reason]


@pytest.mark.parametrize("made, written", [
    (Reason("runs_on", "8% of the probed clips, in the base 0%"), "runs_on: 8% of the probed clips, in the base 0%"),
    (Reason("my-code", "of a plug-in"), "my-code: of a plug-in"),
    (Reason("runaway", "on 3 of 12 lines", " "), "runaway on 3 of 12 lines"),
    (Reason("grad_norm_spike", "9: much"), "grad_norm_spike: 9: much"),
])  # fmt: skip
def test_a_reason_is_written_as_its_sentence_and_read_with_its_code(made: Reason, written: str) -> None:
    kept = Kept([made])
    assert digest.canonical_json(records.to_json(kept)) == digest.canonical_json({"reasons": [written]})
    read = records.from_json(Kept, {"reasons": [written]}, "here")
    assert read == kept and [one.code for one in read.reasons] == [made.code]
    for other in (copy.deepcopy(read), pickle.loads(pickle.dumps(read))):
        assert [one.code for one in other.reasons] == [made.code] and other == kept


def test_a_text_without_a_code_has_none_and_no_number_is_a_reason() -> None:
    assert Reason.read("").code == "" and Reason.read("\u2013 nothing").code == ""
    with pytest.raises(records.files.RecordError, match="expected str, got int"):
        records.from_json(Kept, {"reasons": [3]}, "here")


def reads_prose(source: str) -> list[str]:
    """Questions to a sentence that should go to its code: the start, a part or a piece of what is called a reason, sign, note, veto ..."""
    names = r"(reason|sign|note|veto|finding|remark|why|sentence)s?"
    return [
        ast.unparse(node)
        for node in nodes(source)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("startswith", "endswith", "split", "partition")
            and re.fullmatch(names, ast.unparse(node.func.value).split(".")[-1])
        )
        or (
            isinstance(node, ast.Compare)
            and isinstance(node.ops[0], ast.In)
            and re.fullmatch(names.replace("s?", ""), ast.unparse(node.comparators[0]).split(".")[-1])
        )
    ]


def test_no_decision_reads_a_sentence() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): seen
        for path in sorted((ROOT / "src").rglob("*.py"))
        if (seen := reads_prose(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize("source", [
    "any(note.startswith(RUNAWAY) for note in row.notes)", "[one for one in step.signs if MARK in one.sign]",
    "excluded if reason.split(':')[0] in vetoes else noted", "why.startswith(tuple(LOST))",
])  # fmt: skip
def test_a_planted_question_to_a_sentence_is_seen(source: str) -> None:
    assert len(reads_prose(source)) == 1


def test_codes_and_lists_of_codes_may_be_asked() -> None:
    assert reads_prose("note.code == 'x' or note.code.endswith('_spike') or one.code in select.vetoes") == []
