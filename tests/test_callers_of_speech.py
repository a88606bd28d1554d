"""Nobody speaks with settings that are in no record: every place that makes a voice speak, where its settings come from, and where they are kept.

The lists are the contract. A new caller fails the test, and so does a known one that takes its settings from somewhere else: whoever adds
one says here where the settings stand, and where they are written down.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_structure import SRC, module_name, nodes, sources

Place = tuple[str, str]  # module, function

# Who asks for speech, and by which expression it names the settings.
SPEAK_JOBS: dict[Place, str] = {
    ("stages.speak", "speak"): "decoding",  # of its callers, below
    ("stages.references.audition", "_spoken"): "self.settings.speak",  # the recipe's
    ("stages.lexicon.trial", "hold"): "find_recipe(params, recipe).speak",  # the recipe's
    ("stages.early_stopping.checking", "_speech"): "one.speak",  # the recipe's
    ("registry.voice", "_job"): "served.decoding_of(config)",  # of the registered version
    (
        "registry.speaking.say",
        "_take",
    ): "settings",  # of speak_base: upstream's own with --set; the tag of the WAV has them
}
REQUESTS: dict[Place, str] = {
    (
        "registry.voice",
        "_take",
    ): "asked.decoding",  # the version's own, or what was asked for: the tag has them, and as_judged
    ("registry.speaking.say", "_take"): "None",  # the job's own
    ("process.runner", "ping"): "None",  # no text: nothing is spoken
}
CALLS_OF_THE_STAGE: dict[Place, str] = {
    ("stages.listen", "_take"): "self.decoding",  # the recipe's
    ("stages.preflight", "preflight"): "one.speak",  # the recipe's
    ("stages.controls.effects", "of"): "one.speak",  # the recipe's
    (
        "stages.decoding.sweep",
        "_spoken",
    ): "self.settings.speak",  # each of the weights has its own: `decoding` below
}
OWN_SETTINGS: dict[Place, str] = {  # WeightsRef with settings of its own
    ("stages.decoding.sweep", "__init__"): "way",  # of grid.crossed: in decoding.json, setting by setting
}
# Which clip is heard before anybody speaks: the job's, or the weights' own.
HEARD: dict[Place, str] = {
    ("stages.speak", "speak"): "reference",  # of its callers, below
    ("stages.references.audition", "_spoken"): "None",  # each of the weights has its own, below
    ("stages.lexicon.trial", "hold"): "None",
    ("stages.early_stopping.checking", "_speech"): "None",  # checkpoints
    ("registry.voice", "_job"): "heard",  # reference.opened: what the version carries, by its sha256
    ("registry.speaking.say", "_take"): "reference",  # of speak_zero_shot: the tag of the WAV names it
}
HEARD_BY_THE_STAGE: dict[Place, str] = {
    (
        "stages.listen",
        "_take",
    ): "self.reference",  # of evaluate.reference: race.json and selection.json name it
    ("stages.preflight", "preflight"): "(missing)",  # no base speaks zero-shot there
    ("stages.controls.effects", "of"): "(missing)",
    ("stages.decoding.sweep", "_spoken"): "(missing)",  # checkpoints
}
OWN_CLIPS: dict[Place, str] = {
    ("stages.references.audition", "_ref"): "self.heard[name]",  # in references.json, clip by clip
}
CLIPS: dict[Place, str] = {  # who makes up what is heard
    ("stages.references.clips", "pair"): "[first, second]",  # held-out clips
    ("registry.speaking.reference", "opened"): "[_row(found, config[ARTIFACT], content)]",  # hashed before
}
# Who calls a family, and with what.
SYNTHESES: dict[Place, str] = {
    ("worker.speak", "_speak"): "decoding",  # what its caller gives: TAKES
}
TAKES: dict[Place, str] = {
    ("worker.speak", "_timed"): "_settings(job, ref)",  # the weights' own, else the job's
    (
        "worker.speak",
        "_requested",
    ): "_settings(job, ref) if request.decoding is None else request.decoding",
}
LEXICONS: dict[Place, str] = {
    ("stages.ceiling", "measure"): "None",
    ("stages.encode", "encode"): "None",
    ("stages.general", "encode_general"): "None",
    ("stages.train", "train"): "run.identity.lexicon",
    ("stages.early_stopping.checking", "_target"): "run.identity.lexicon",
    ("stages.evaluate", "_validate"): "run.identity.lexicon",
    ("stages.speak", "speak"): "run.identity.lexicon",
    ("stages.references.audition", "__init__"): "lexicon_file.of_project(params)",
    ("stages.lexicon.trial", "hold"): "lexicon",  # without the entries, then with them
}
# Who writes down what was spoken, and as spoken with what.
SAMPLES: dict[Place, str] = {
    ("worker.speak", "_sample"): "decoding",
    ("stages.speak", "_unspoken"): "decoding",
}


def functions(tree: ast.AST, inside: ast.AST | None = None) -> Iterator[tuple[ast.AST, ast.Call]]:
    """Every call, with the innermost function that it stands in."""
    for node in ast.iter_child_nodes(tree):
        within = node if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else inside or tree
        if isinstance(node, ast.Call):
            yield inside or tree, node
        yield from functions(node, within)


def name_of(function: ast.AST) -> str:
    return getattr(function, "name", "")


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def argument(function: ast.AST, call: ast.Call, name: str, place: int) -> str:
    """The expression of an argument, by its name or its place; of a local name what it was set to."""
    named = next((one.value for one in call.keywords if one.arg == name), None)
    found = named if named is not None else call.args[place] if len(call.args) > place else None
    if found is None:
        return "(missing)"
    set_to = assigned(function, found.id) if isinstance(found, ast.Name) else []
    return " | ".join(set_to) or ast.unparse(found)


def assigned(function: ast.AST, name: str) -> list[str]:
    """Everything that a function sets a name to."""
    values = []
    for node in ast.walk(function):
        for target in node.targets if isinstance(node, ast.Assign) else []:
            pairs = [(target, node.value)]  # type: ignore[attr-defined]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):  # type: ignore[attr-defined]
                pairs = list(zip(target.elts, node.value.elts, strict=True))  # type: ignore[attr-defined]
            values += [ast.unparse(value) for one, value in pairs if ast.unparse(one) == name]
    return values


def found(root: Path, what: str, name: str, place: int, must: str | None = None) -> dict[Place, str]:
    """Who calls `what`, and with which expression as its argument `name`; `must`: only calls that have this keyword."""
    known: dict[Place, str] = {}
    for path in sources(root):
        if root == SRC and path.is_relative_to(SRC / "families"):
            continue  # what is called, not who calls
        for function, call in functions(ast.parse(path.read_text())):
            if called(call) != what or (must and must not in {one.arg for one in call.keywords}):
                continue
            module = module_name(path, root).removeprefix("voicelathe.")
            said, where = argument(function, call, name, place), (module, name_of(function))
            known[where] = said if known.get(where, said) == said else f"{known[where]} | {said}"
    return known


def stage_calls(root: Path, name: str = "decoding", place: int = 5) -> dict[Place, str]:
    """Calls of `stages.speak.speak` with an argument of theirs, under whichever name a module imports it."""
    known: dict[Place, str] = {}
    for path in sources(root):
        tree = ast.parse(path.read_text())
        names = {
            alias.asname or alias.name
            for node in nodes(path.read_text())
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if f"{node.module}.{alias.name}" in ("voicelathe.stages.speak", "voicelathe.stages.speak.speak")
        }
        for function, call in functions(tree):
            text = ast.unparse(call.func)
            if text in names or text in {f"{one}.speak" for one in names}:
                module = module_name(path, root).removeprefix("voicelathe.")
                known[module, name_of(function)] = argument(function, call, name, place)
    return known


def test_every_speak_job_takes_its_settings_from_where_they_are_on_record() -> None:
    assert found(SRC, "SpeakJob", "decoding", 5) == SPEAK_JOBS


def test_every_request_to_a_speaker_says_with_which_settings() -> None:
    assert found(SRC, "SpeakRequest", "decoding", 6) == REQUESTS


def test_every_caller_of_the_stage_gives_the_recipe_s_settings() -> None:
    assert stage_calls(SRC) == CALLS_OF_THE_STAGE


def test_weights_have_settings_of_their_own_only_where_a_record_names_each() -> None:
    own = {
        place: said
        for place, said in found(SRC, "replace", "decoding", 99, must="decoding").items()
        if said != "None"
    }
    assert own == OWN_SETTINGS


def test_nobody_hears_a_clip_that_no_record_names() -> None:
    assert found(SRC, "SpeakJob", "reference", 6) == HEARD
    assert stage_calls(SRC, "reference", 7) == HEARD_BY_THE_STAGE
    own = {
        place: said for place, said in found(SRC, "WeightsRef", "reference", 4).items() if said != "(missing)"
    }
    assert own == OWN_CLIPS and found(SRC, "Reference", "clips", 0) == CLIPS
    assert found(SRC, "replace", "reference", 99, must="reference") == {}


@pytest.mark.slow
def test_a_family_is_made_to_speak_by_the_worker_alone() -> None:
    assert found(SRC, "synthesize", "decoding", 5) == SYNTHESES
    assert found(SRC, "synthesize_prompted", "decoding", 5) == SYNTHESES
    assert found(SRC, "_speak", "decoding", 5) == TAKES


def test_a_finished_run_reads_its_texts_by_its_own_lexicon() -> None:
    """Encodings and copies are of sound alone; a base that is auditioned reads as the project does."""
    asked = found(SRC, "target", "lexicon", 2)
    assert {place: said for place, said in asked.items() if place[0].startswith("stages.")} == LEXICONS


def test_every_sample_keeps_what_it_was_spoken_with() -> None:
    assert found(SRC, "SampleRecord", "decoding", 6) == SAMPLES


def test_upstream_s_defaults_are_taken_only_where_the_tag_or_the_record_has_them() -> None:
    """`decoding.defaults` is what nobody chose: a base that speaks as it is, versions from before recipes named settings, older files."""
    assert set(found(SRC, "defaults", "known", 0)) == {
        ("registry.speaking.say", "speak_base"),  # its tag: tag.of_base(..., spoken)
        ("registry.promoted", "decoding_of"),  # versions from before: as they were judged
    }


def test_no_stage_script_makes_anybody_speak_by_itself() -> None:
    scripts = SRC.parents[1] / "pipelines"
    calls = {
        called(call) for path in scripts.glob("*.py") for _, call in functions(ast.parse(path.read_text()))
    }
    assert not calls & {"SpeakJob", "SpeakRequest", "Speaker", "synthesize", "synthesize_prompted", "speak"}


PLANTED = {
    "def f(t):\n    return jobs.SpeakJob(t, None, [], [], 2.0, {}, None, 'out', False)": ("SpeakJob", 5, "{}"),
    "def f(t):\n    return SpeakJob(target=t, decoding=defaults(known))": ("SpeakJob", 5, "defaults(known)"),
    "def f(t):\n    own, other = {}, 1\n    return SpeakJob(t, None, [], [], 2.0, own, None, 'out', False)": ("SpeakJob", 5, "{}"),
    "class A:\n    def f(self):\n        return self.family.synthesize(a, b, c, d, e, {'steps': 4})": (
        "synthesize", 5, "{'steps': 4}"),
}  # fmt: skip


@pytest.mark.parametrize("source", PLANTED)
def test_a_planted_caller_is_seen(tmp_path: Path, source: str) -> None:
    what, place, said = PLANTED[source]
    (tmp_path / "m.py").write_text(source)
    assert found(tmp_path, what, "decoding", place) == {("m", "f"): said}


def test_a_planted_call_of_the_stage_is_seen_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "from voicelathe.stages.speak import speak as say\nfrom voicelathe.stages import speak\n"
        "def f():\n    say(p, r, refs, lines, 2.0, {'steps': 4}, out)\n"
        "def g():\n    speak.speak(p, r, refs, lines, 2.0, decoding=own, out=out)\n"
    )
    assert stage_calls(tmp_path) == {("m", "f"): "{'steps': 4}", ("m", "g"): "own"}
