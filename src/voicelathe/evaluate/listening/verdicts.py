"""Can this listening verdict be believed? Files that people exported from the listening page, checked and kept in git.

A sitting counts only for the very samples that were heard, only whole, only once a listener, and only as the page wrote it.
The digest in the file notices a slip of an editor; it is no signature.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.errors import RecordError, SelectionError, listing
from voicelathe.evaluate.listening import design, names
from voicelathe.records import Judgement, RunRecord, SampleRecord, Sitting, Verdict, sealed

FORMAT = "voicelathe-verdict/1"
DEFECTS = ("truncated", "noise", "wrong_word", "wrong_accent", "wrong_speaker")
FORM = sealed.Form(
    FORMAT,
    max_bytes=4_000_000,
    error=SelectionError,
    what="a verdict file",
    first="Export the verdict on the last screen of the listening page, then name that file.",
    again="Export it again from the listening page.",
    renew="Listen on a page of this version.",
)
MAX_NOTE_CHARS = 2000


def path_of(recipe: str, root: Path = Path()) -> Path:
    """Where the sittings over a recipe's samples are kept."""
    return root / layout.VERDICTS / f"{recipe}.json"


def import_file(path: Path, recipe: str, root: Path = Path()) -> Path:
    """Check an exported sitting against the recipe's present samples and add it to verdicts/<recipe>.json.

    Raises SelectionError when it is of another recipe or sweep, edited, half finished or already there; nothing is then written.
    """
    run = records.read_one(root / layout.run(recipe, "run.json"), RunRecord)
    samples = records.read(root / layout.run(recipe, "samples.jsonl"), SampleRecord)
    sitting = sealed.read(path, Sitting, FORM)
    _check_identity(sitting, recipe, run, samples, path)
    _check_answers(sitting, design.trials(sitting.mode, samples, run.identity.seed), path)
    earlier = load(recipe, root)
    stored = path_of(recipe, root)
    if earlier is not None:
        _check_room(sitting, earlier, stored)
    sittings = [*(earlier.sittings if earlier else []), sitting]
    verdict = Verdict(recipe, run.run_digest, sitting.sweep, sorted(sittings, key=lambda one: one.listener))
    digest.write_json(stored, records.to_json(verdict))
    return stored


def load(recipe: str, root: Path = Path()) -> Verdict | None:
    """The stored verdict, whatever sweep it is of; None when nobody has listened. Raises SelectionError when it was edited."""
    path = path_of(recipe, root)
    if not path.is_file():
        return None
    try:
        verdict = records.read_one(path, Verdict)
    except RecordError as problem:
        raise SelectionError(f"{problem} To restore it: git checkout {path}") from None
    for one in verdict.sittings:
        same = (one.recipe, one.run_digest, one.sweep) == (verdict.recipe, verdict.run_digest, verdict.sweep)
        if verdict.recipe != recipe or not same or not sealed.is_intact(one):
            raise SelectionError(
                f"{path}: the sitting of {one.listener!r} was changed after its import. "
                f"Restore the file (git checkout {path}) or delete it and import the exported files again."
            )
    return verdict


def _check_identity(
    sitting: Sitting, recipe: str, run: RunRecord, samples: Sequence[SampleRecord], path: Path
) -> None:
    if sitting.recipe != recipe:
        raise SelectionError(
            f"{path} is about recipe {sitting.recipe!r}, not {recipe!r}: voicelathe verdict import {sitting.recipe} {path}"
        )
    present = design.sweep_digest(run.run_digest, samples)
    if (sitting.run_digest, sitting.sweep) != (run.run_digest, present):
        raise SelectionError(
            f"{path} is about another sweep ({sitting.sweep[:12]}) than the present samples of {recipe} ({present[:12]}): "
            f"the run, the lines or the audio changed since. Listen to runs/{recipe}/listening.html again."
        )
    if not sitting.listener.strip():
        raise SelectionError(
            f"{path}: the listener has no name. Give a name or initials on the first screen of the page."
        )


def _check_answers(sitting: Sitting, expected: list[design.Trial], path: Path) -> None:
    problems = list(_answer_problems(sitting, expected))
    if problems:
        raise SelectionError(
            f"{path}: half finished or not as the page writes it:\n{listing(problems)}\n"
            "Open the page in the same browser, finish the sitting there and export it again."
        )


def _answer_problems(sitting: Sitting, expected: list[design.Trial]) -> Iterator[str]:
    answers = Counter(one.trial for one in sitting.judgements)
    known = {one.trial: one for one in expected}
    if not expected:
        yield "there is nothing to judge: fewer than two samples of each line can be heard"
    yield from (f"trial {name} is answered {number} times" for name, number in answers.items() if number > 1)
    yield from (f"trial {name} is not part of this sweep" for name in answers if name not in known)
    yield from (f"trial {name} is not answered" for name in known if name not in answers)
    for one in sitting.judgements:
        if one.trial in known:
            yield from _judgement_problems(one, known[one.trial], sitting.mode)


def _judgement_problems(one: Judgement, trial: design.Trial, mode: str) -> Iterator[str]:
    if (one.line_id, one.seed, one.repeats) != (trial.line_id, trial.seed, trial.repeats):
        yield f"trial {one.trial} names another line, seed or repetition than the sweep"
    if sorted(opinion.candidate for opinion in one.opinions) != sorted(trial.candidates):
        yield f"trial {one.trial} does not judge exactly its {len(trial.candidates)} samples"
    best = {"rate": 100, "rank": len(trial.candidates) - 1, "pair": 1}[mode]
    scores = [opinion.score for opinion in one.opinions]
    if any(not 0 <= score <= best for score in scores) or (mode == "pair" and sum(scores) > 1):
        yield f"trial {one.trial}: scores {scores}, allowed are 0 to {best}"
    if any(code not in DEFECTS for opinion in one.opinions for code in opinion.defects):
        yield f"trial {one.trial} ticks a defect that the page does not offer"
    if len(one.note) > MAX_NOTE_CHARS:
        yield f"trial {one.trial}: a note of {len(one.note)} characters, at most {MAX_NOTE_CHARS}"


def _check_room(sitting: Sitting, earlier: Verdict, stored: Path) -> None:
    if earlier.sweep != sitting.sweep:
        raise SelectionError(
            f"{stored} holds a verdict on an earlier sweep ({earlier.sweep[:12]}), which does not count any more. "
            f"Delete it (git keeps it: git rm {stored}), then import again."
        )
    if any(one.digest == sitting.digest for one in earlier.sittings):
        raise SelectionError(
            f"{stored}: this very sitting of {sitting.listener!r} is already imported. Nothing to do."
        )
    if any(names.seen(one.listener) == names.seen(sitting.listener) for one in earlier.sittings):
        raise SelectionError(
            f"{stored} already holds a sitting of {sitting.listener!r}; one listener counts once. "
            "Another person: give another name on the first screen. A second attempt: delete the earlier one from git first."
        )
