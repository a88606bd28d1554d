"""The references of a run from the parent's side: who may stand in front of whom, written down for the worker, and encoded."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data import tables
from voicelathe.data.latents import index
from voicelathe.data.references import pairs, planning
from voicelathe.process import jobs, runner

FOLDER = layout.CACHE / "references"
_Stamp = tuple[int, int, int, int] | None


@dataclass(frozen=True)
class _Made:
    """A plan, and the files it was made from as they were then."""

    of: dict[Path, _Stamp]
    planned: planning.Planned


_made: dict[Path, _Made] = {}  # audio root -> the last plan of this process


def planned(params: schema.Params) -> planning.Planned:
    """Who may stand in front of whom in the present split. Raises SplitError for a reference that is held out.

    Costs one read of the split and of every recording that a row names, once in a process while none of these files changes.
    """
    root = Path(params.ingest.audio_root)
    known = _made.get(root)
    if known is None or known.of != _stamps(known.of):
        known = _made[root] = _make(root)
    return known.planned


def _make(root: Path) -> _Made:
    seen = _stamps([*map(layout.split, layout.SPLITS), layout.ASSIGNMENTS])  # before they are read
    splits = {name: records.read(layout.split(name), records.CleanClip) for name in layout.SPLITS}
    assigned = tables.read(layout.ASSIGNMENTS, records.SplitAssignment)
    seen |= _stamps(root / clip.ref_audio for clip in splits["train"] if clip.ref_audio)
    return _Made(seen, planning.plan(root, splits, assigned))


def _stamps(paths: Iterable[Path]) -> dict[Path, _Stamp]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: Path) -> _Stamp:
    """What changes when a file is written or replaced; None for one that is not there."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def digest_of(params: schema.Params, train: schema.Train) -> str | None:
    """Identity of the plan, with the sha256 of every recording in it; None for a training without references."""
    return digest.of_value(records.to_json(planned(params).plan)) if train.reference_share else None


def notices(params: schema.Params, recipe: str) -> list[str]:
    """What people should know of the references of a recipe; nothing for one that trains without."""
    return planned(params).notices if find_recipe(params, recipe).train.reference_share else []


def written(params: schema.Params, base: str, train: schema.Train) -> Path | None:
    """The directory that holds the plan for the worker; None for a training without references."""
    if not train.reference_share:
        return None
    plan = planned(params).plan
    folder = FOLDER / digest.of_value([params.bases[base].digest, records.to_json(plan)])[:32]
    digest.write_json(folder / pairs.PLAN, records.to_json(plan))
    records.write(folder / pairs.ROWS, plan.named)
    return folder


def encoded(params: schema.Params, base: str, train: schema.Train) -> Path | None:
    """As `written`, with the recordings that rows name encoded beside it."""
    folder = written(params, base, train)
    if folder is None or (folder / index.FILE).is_file():
        return folder
    rows = folder / pairs.ROWS
    if records.read(rows, records.CleanClip):
        one = params.bases[base]
        target = jobs.Target(one.family, one.path, one.digest, params.machine)
        cached = str(layout.CACHE / "latents")
        job = jobs.EncodeJob(
            target, {"references": str(rows)}, params.ingest.audio_root, cached, str(folder), params.engine
        )
        runner.run(job, "references")
    return folder
