"""Was the decision of a finished project right? Its candidates speak sentences that it never heard."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.decisions import hearing, oracle, packs
from voicelathe import layout, records
from voicelathe.evaluate.evidence import BASE, BASES
from voicelathe.records import CleanClip, Selection

OUT = layout.CACHE / "oracle"  # in the project: nothing else of it is written


def tell(project: Path, recipes: Sequence[str], num_lines: int, before: Mapping[str, str]) -> str:
    """A table for each recipe. `before`: recipe -> candidate that another rule shipped, to be marked."""
    with inside(project):
        return "\n\n".join(_of(recipe, num_lines, before.get(recipe)) for recipe in recipes)


def _of(recipe: str, num_lines: int, before: str | None) -> str:
    pack = packs.oracle(num_lines)
    known = [
        clip.text for name in ("train", "validation") for clip in records.read(layout.split(name), CleanClip)
    ]
    if told := packs.strangers(pack, known):
        raise SystemExit(f"{recipe}: {', '.join(told)} are in the training text; the oracle needs others")
    truth = oracle.of(hearing.everybody(recipe, "oracle", pack, "test", hearing.ORACLE_METRICS, OUT))
    chosen = records.read_one(layout.run(recipe, "selection.json"), Selection)
    marks: dict[str, list[str]] = {}
    for name, said in (
        (before, "shipped before"),
        (chosen.by_loss, "lowest loss"),
        (chosen.selected, "ships now"),
    ):
        if name is not None:
            marks.setdefault(name, []).append(said)
    order = [BASE, *sorted(name for name in truth.names if name in BASES and name != BASE), *truth.tuned]
    lines = [f"### {recipe}, {num_lines} sentences", ""]
    lines.append(oracle.table(truth, order, {name: ", ".join(said) for name, said in marks.items()}))
    lines.append(
        f"\nThe decision now: {chosen.decision}" + (f", {chosen.selected}" if chosen.selected else "") + "."
    )
    shipped = {
        "before": before,
        "lowest loss": chosen.by_loss,
        "now": chosen.selected or (chosen.fallback.candidate if chosen.fallback else chosen.base),
    }
    lines += [
        f"Regret {label} ({name}): {truth.regret(name):.3f}."
        for label, name in shipped.items()
        if name is not None
    ]
    return "\n".join(lines)


@contextlib.contextmanager
def inside(project: Path) -> Iterator[None]:
    """Stages and workers read the project from the current folder."""
    before = Path.cwd()
    os.chdir(project)
    try:
        yield
    finally:
        os.chdir(before)
