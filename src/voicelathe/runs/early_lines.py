"""What the checkpoints of a run with early stopping are judged by: which lines they speak, who hears them; and its identity.

Texts of the validation split, not the pack that decides later: a run that ended where its lines of that pack were best would be compared
on lines that chose it. And a pack is edited between training and listening, which must not make other weights.
"""

from voicelathe import digest, layout, records, rng
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data.latents import index
from voicelathe.data.split import speakers
from voicelathe.errors import ParamsError
from voicelathe.process import environments
from voicelathe.speech import recogniser_files

REVISION = 1  # of how a checkpoint is judged: a new one is another run
LONGEST_S = 15.0  # of a clip whose text is spoken
MAX_SECONDS = 2 * LONGEST_S  # after that a line is cut
ENGLISH = ("en",)  # all that PocketSphinx knows


def digest_of(params: schema.Params, recipe: str, train: schema.Train) -> str | None:
    """Identity of everything that decides where the run ends, beside its weights; None for one that makes every step."""
    if train.early_stopping is None:
        return None
    one, heard_by = find_recipe(params, recipe), params.speech.recogniser
    entries = index.read(layout.latents(one.base))
    spoken = [records.to_json(line) for line in lines(params, recipe, train)]
    ears = None if heard_by is None else [heard_by.digest, heard_by.languages]
    judged_by = [REVISION, spoken, ears, one.speak, index.split_digest(entries, "validation")]
    return digest.of_value(judged_by)


def lines(params: schema.Params, recipe: str, train: schema.Train) -> list[records.Line]:
    """The texts that every checkpoint speaks, drawn by the project's seed. Raises ParamsError where too few can be heard."""
    assert train.early_stopping is not None, "asked only of a run that may stop early"
    wanted, clips = train.early_stopping.lines, _hearable(params)
    if len(clips) < wanted:
        raise ParamsError(
            f"recipes.{recipe}.train.early_stopping.lines = {wanted}: the validation split has {len(clips)} clips of at most {LONGEST_S:g} s of its "
            f"main speaker in languages that speech.recogniser knows. Set {len(clips)} or fewer (at least 4), or early_stopping: null."
        )
    chosen = rng.shuffled(sorted(clips), params.seed, "early stopping")[:wanted]
    return [
        records.Line(
            name, clips[name].text, clips[name].language, rng.key(params.seed, "spoken", name) % 2**32
        )
        for name in sorted(chosen)
    ]


def notices(params: schema.Params, recipe: str) -> list[str]:
    """Nothing to note. Raises ParamsError where no checkpoint could be judged: before the hours are spent."""
    require(params, recipe, find_recipe(params, recipe).train)
    return []


def require(params: schema.Params, recipe: str, train: schema.Train) -> None:
    """Raises ParamsError where the checkpoints of a run could not be judged."""
    if train.early_stopping is None:
        return
    family = params.bases[find_recipe(params, recipe).base].family
    if absent := environments.lacking(family, "speak"):
        raise ParamsError(
            f"recipes.{recipe}.train.early_stopping: a checkpoint has to speak, and nothing can be spoken. {absent} Or set early_stopping: null."
        )
    lines(params, recipe, train)


def _hearable(params: schema.Params) -> dict[str, records.CleanClip]:
    """Validation clips of the main speaker, by id, that a recogniser can be asked about; one clip a text."""
    own = speakers.main_speaker(records.read(layout.split("validation"), records.CleanClip))
    known = _languages(params)
    fitting = [
        one for one in own if one.duration_s <= LONGEST_S and recogniser_files.code(one.language) in known
    ]
    by_text = {one.text: one for one in sorted(fitting, key=lambda one: one.clip_id, reverse=True)}
    return {one.clip_id: one for one in by_text.values()}


def _languages(params: schema.Params) -> set[str]:
    chosen = params.speech.recogniser
    if chosen is None:
        return set(ENGLISH)
    return {recogniser_files.code(one) for one in recogniser_files.pinned(chosen).languages}
