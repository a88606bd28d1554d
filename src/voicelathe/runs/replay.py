"""The general clips that a run mixes in against forgetting, from the parent's side: whether it may, which they are, and what people should know."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from voicelathe import digest, families, layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data import columns, consent, control
from voicelathe.data.latents import general_set, index, replay
from voicelathe.errors import ConsentError, ManifestError, listing

SHOWN = 5


def place(base: str, train: schema.Train) -> str | None:
    """The directory of the general set's encodings for the worker; None for a training without replay."""
    return str(layout.general(base)) if train.replay_share else None


def files(base: str, train: schema.Train) -> list[Path]:
    """What decides which clips are mixed in; empty for a training without replay."""
    if not train.replay_share:
        return []
    return [layout.general(base) / name for name in (general_set.CLIPS, index.FILE)]


def digest_of(base: str, train: schema.Train) -> str | None:
    """Identity of what is mixed in: clips and their encodings; None for a training without replay."""
    if not train.replay_share:
        return None
    known = {entry.clip_id: entry.sha256 for entry in index.read(layout.general(base))}
    told = {clip.clip_id: control.of(clip) for clip in _sides(base).replayed}
    return digest.of_value({clip: [known[clip], one] if one else known[clip] for clip, one in told.items()})


def require(recipe: str, base: str, train: schema.Train, most: int) -> None:
    """`most`: visits of a clip (train.replay_visits). Raises where clips would be seen too often (ParamsError), are the voice's own (SplitError) or their speakers did not consent (ConsentError)."""
    if not train.replay_share:
        return
    found, visits = _sides(base), train.steps * train.clips_per_step
    replays = replay.num_replayed(train.steps, train.clips_per_step, train.replay_share)
    replay.require_enough(f"recipes.{recipe}", replays, visits, len(found.replayed), most)
    splits = {name: records.read(layout.split(name), records.CleanClip) for name in layout.SPLITS}
    replay.require_strangers(found.replayed, splits)
    _require_consent(found.replayed)


def trained_texts(params: schema.Params, recipe: str) -> columns.Table:
    """clip_id, text and language of all that a recipe trains on: the voice's clips, and those of others that are mixed in."""
    import pyarrow

    one, wanted = find_recipe(params, recipe), ["clip_id", "text", "language"]
    own = columns.read(layout.split("train"), records.CleanClip).select(wanted)
    if not one.train.replay_share:
        return own
    mixed = columns.of(_sides(one.base).replayed, records.CleanClip).select(wanted)
    return pyarrow.concat_tables([own, mixed])


def notices(params: schema.Params, recipe: str) -> list[str]:
    """What people should know before a recipe trains with replay; nothing for one that does not. Raises as `require` does."""
    one = find_recipe(params, recipe)
    train = one.train
    if not train.replay_share:
        return []
    require(recipe, one.base, train, train.replay_visits)
    found, visits = _sides(one.base), train.steps * train.clips_per_step
    replays = replay.num_replayed(train.steps, train.clips_per_step, train.replay_share)
    most = replay.most_visits(replays, len(found.replayed))
    said = [
        f"replay: {replays} of {visits} visits are of {len(found.replayed)} clips of the general set ({_names(found.by, found.replayed)}), each "
        f"seen at most {most} times of {train.replay_visits}; forgetting is measured on the other {len(found.measured)} "
        f"({_names(found.by, found.measured)}), so by fewer clips than in a recipe without replay"
    ]
    if families.spec(params.bases[one.base].family).trains_with_control:
        said += control.replayed(found.replayed)
    own = {clip.speaker_id for clip in records.read(layout.split("train"), records.CleanClip)}
    if same := sorted({clip.speaker_id for clip in found.replayed} & own):
        said.append(
            f"replay_of_own_speaker: {', '.join(same)} is a speaker of the voice and of the general set; where that is one person, "
            "what they say there is no protection against forgetting others"
        )
    return said


def _sides(base: str) -> replay.Sides:
    return replay.of_directory(layout.general(base))


def speakers(run: records.RunRecord, root: Path) -> dict[str, list[str]]:
    """Whom a run saw besides its voice, and in which languages; nobody without replay. Raises ManifestError where that is not known any more."""
    base = run.identity.base
    if not run.identity.train.replay_share:
        return {}
    path = layout.general(base) / general_set.CLIPS
    found = digest.of_file(root / path) if (root / path).is_file() else "gone"
    if found != (wanted := run.inputs.get(path.as_posix())):
        raise ManifestError(
            f"{path} is not the file that {run.recipe} was trained with (sha256 {wanted}, and now {found}), so it is not known whose clips were "
            "mixed in (train.replay_share). "
            f"Restore it (dvc checkout {layout.general(base)}), or train with the set of now: dvc repro select@{run.recipe}"
        )
    return _languages(replay.of_directory(root / layout.general(base)).replayed)


def without_consent(used: Mapping[str, Iterable[str]], on: date, place: Path = layout.CONSENT) -> list[str]:
    """What keeps these speakers from being trained on, on a day."""
    return [text for name in used for text in consent.problems(name, "train", on, used[name], place)]


def _require_consent(replayed: list[records.CleanClip]) -> None:
    """Who is trained on must have agreed, as the gate asks of the voice itself; what passed for research is stamped so, whatever was mixed in."""
    if not layout.GATE.is_file() or records.read_one(layout.GATE, records.Passed).policy != "required":
        return
    used = _languages(replayed)
    if found := without_consent(used, datetime.now(UTC).date()):
        raise ConsentError(
            f"train.replay_share trains on clips of {len(used)} speakers of the general set, and consent.policy = required asks for a record of each:\n"
            f"{listing(found)}\nMake one: voicelathe consent new SPEAKER, or set train.replay_share to 0.0."
        )


def _languages(clips: Iterable[records.CleanClip]) -> dict[str, list[str]]:
    used: dict[str, set[str]] = {}
    for clip in clips:
        used.setdefault(clip.speaker_id, set()).add(clip.language)
    return {name: sorted(used[name]) for name in sorted(used)}


def _names(by: str, clips: list[records.CleanClip]) -> str:
    names = sorted({clip.speaker_id if by == "speaker" else clip.recording_id for clip in clips})
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{by}s {', '.join(names[:SHOWN])}{more}"
