"""The shape of the code: imports point up the list of docs/design.md, each heavy tool has one door, files stay small.

The lists below are the design as data. A new top-level module that is in no layer fails the test.
"""

import ast
import functools
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "voicelathe"
LAYERS = [  # a module imports only from its own line or from lines above; the longest name that fits decides
    "errors redaction plugins digest locks rng config config.schema config.data_schema config.train_schema records layout process process.jobs",
    "families train.optimizers train.precision",  # each knows settings and records, nothing of the pipeline; config.params checks recipes against what they say of themselves
    "config.params config.checks parallel checkpoints runs runs.tombstones runs.experiments runs.locks",
    "speech",  # measures of one clip
    "data",
    "lines config.changes config.upgrade process.sample_files",  # lines that stood in params.yaml become a pack
    "train",
    "worker",
    "process.environments",
    "process.runner process.child process.together process.progress process.triage plan runs.controls runs.early_lines runs.identity runs.references runs.replay runs.results",
    "evaluate",
    "stages",
    "tracking",
    "registry",
    "serving",
    "cli",
]
RANKS = {name: rank for rank, line in enumerate(LAYERS) for name in line.split()}
DOORS = {  # heavy tool -> the only files that may import it, as patterns below src/voicelathe
    "mlflow": ["tracking/**", "registry/serving_model.py"],
    "great_expectations": ["data/gate/suite.py"],
    "bitsandbytes": [
        "train/optimizers/blockwise.py",
        "train/optimizers/fused.py",
        "train/optimizers/fused_kernel.py",
    ],
    "triton": ["train/optimizers/fused_kernel.py"],
    "peft": ["train/adapters.py"],
    "voxcpm": ["families/voxcpm/**"],
    "qwen_tts": ["families/qwen3_tts/**"],
    "cosyvoice": ["families/cosyvoice3/**"],
    "indextts": ["families/indextts2/**"],
    "fsspec": ["registry/weights/place.py"],
    "ray": ["parallel/ray_cluster.py"],
    "torchaudio": ["families/shared/torchaudio_shim.py"],
    "torchcodec": [],
    "silero_vad": ["speech/activity.py"],
    "pocketsphinx": ["speech/words.py"],
    "jiwer": ["speech/words.py"],
    "rapidfuzz": ["speech/words.py", "speech/transcripts.py"],
    "ctranslate2": ["speech/recogniser.py"],
    "faster_whisper": [],  # brings PyAV, whose wheels carry GPL libraries
    "av": [],
    "soundfile": [
        "data/audio/libsndfile.py",
        "data/audio/opus.py",
        "evaluate/listening/sound.py",
        "serving/formats.py",
    ],
    "fastapi": ["serving/**"],
    "c2pa": ["registry/speaking/signing.py"],
    "cryptography": ["registry/speaking/signing.py"],
    "uvicorn": ["serving/run.py"],
    "prometheus_client": ["serving/counters.py"],
}
PARENT_ONLY = {"mlflow", "great_expectations", "pydantic", "typer", "rich", "dvc"}  # never in the worker
PARENT_MODULES = {
    f"voicelathe.{name}"
    for name in (
        *(
            "config.params",
            "config.checks",
            "process.environments",
            "process.runner",
            "process.child",
            "process.together",
            "plan",
            "runs.identity",
            "runs.references",
            "runs.results",
        ),
        *("stages", "evaluate", "tracking", "registry", "serving", "cli"),
    )
}
OF_EVERY_FAMILY = {  # the loop and the shared parts of families know them by these names, whichever family they are of
    "Pack",  # several clips as one stream, what `collate` or `draw` makes
    "ClipTokens",  # one clip of such a stream
    "Ids",  # special rows of the family's tables
}
STDLIB_NAMES = {
    "evaluate/statistics.py"
}  # named in docs/design.md; nothing is run out of that folder, so it shadows nothing
MAX_LINES, MAX_SCRIPT_LINES, MAX_FUNCTION_LINES, MAX_FILES = 300, 43, 60, 15


def sources(root: Path = SRC) -> list[Path]:
    return sorted(root.rglob("*.py"))


@functools.cache
def nodes(source: str) -> list[ast.AST]:
    """Every node of a source; half a dozen tests look at all of them."""
    return list(ast.walk(ast.parse(source)))


def module_name(path: Path, root: Path = SRC) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(["voicelathe", *(part for part in parts if part != "__init__")])


def imports(source: str, where: str = "") -> set[str]:
    """Every imported name, `from a import b` as `a.b`; text given to import_module and __import__ counts, too."""
    found: set[str] = set()
    for node in nodes(source):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{where}:{node.lineno}: relative imports hide the layer"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__", "find_spec"):
            texts = (argument.value for argument in node.args if isinstance(argument, ast.Constant))
            found |= {text for text in texts if isinstance(text, str)}
    return found


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def rank_of(module: str) -> int | None:
    """Line of a module in LAYERS; None for the package itself and what is not ours."""
    parts = module.split(".")[1:]
    for length in range(len(parts), 0, -1):
        if (name := ".".join(parts[:length])) in RANKS:
            return RANKS[name]
    return None


def upward(name: str, targets: Iterable[str]) -> list[str]:
    """Imports of a module that point down the list."""
    own = rank_of(name)
    ours = [target for target in targets if target.startswith("voicelathe.")]
    return [target for target in ours if own is None or (rank_of(target) or 0) > own]


def outside_door(path: Path, targets: Iterable[str], root: Path = SRC) -> list[str]:
    inner = path.relative_to(root)
    tools = {target.split(".")[0] for target in targets} & set(DOORS)
    return sorted(tool for tool in tools if not any(_fits(inner, pattern) for pattern in DOORS[tool]))


def _fits(path: Path, pattern: str) -> bool:
    if pattern.endswith("/**"):
        return path.is_relative_to(pattern.removesuffix("/**"))
    return path.match(pattern) and len(path.parts) == len(Path(pattern).parts)


def closure(start: str) -> dict[str, set[str]]:
    """Modules of ours reachable from one, through imports inside functions, too, with what each imports."""
    paths = {module_name(path): path for path in sources()}
    reached: dict[str, set[str]] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in paths:
            continue
        reached[name] = imports(paths[name].read_text(), str(paths[name]))
        for target in reached[name]:
            waiting += [part for part in (target, target.rpartition(".")[0]) if part.startswith("voicelathe")]
    return reached


def scripts() -> list[Path]:
    return sorted(path for path in (ROOT / "pipelines").glob("*.py") if path.stem != "__init__")


def test_modules_import_only_from_their_own_line_or_lines_above() -> None:
    assert not imports((SRC / "__init__.py").read_text()), "the package itself imports nothing"
    modules = {module_name(path): path for path in sources() if path != SRC / "__init__.py"}
    homeless = [name for name in modules if rank_of(name) is None]
    assert homeless == [], "in no layer: add them to docs/design.md and to LAYERS"
    wrong = {name: upward(name, imports(path.read_text(), str(path))) for name, path in modules.items()}
    assert {name: targets for name, targets in wrong.items() if targets} == {}


def test_each_heavy_tool_is_imported_by_its_door_only() -> None:
    found = {str(path): outside_door(path, imports(path.read_text(), str(path))) for path in sources()}
    assert {path: tools for path, tools in found.items() if tools} == {}


def test_stage_scripts_import_no_heavy_tool_and_are_tables_of_contents() -> None:
    heavy, found = {*DOORS, "torch"}, scripts()
    assert len(found) > 10
    assert [
        path.stem for path in found if {one.split(".")[0] for one in imports(path.read_text())} & heavy
    ] == []
    assert [path.stem for path in found if len(path.read_text().splitlines()) > MAX_SCRIPT_LINES] == []


def renamed(source: str, modules: Iterable[str]) -> list[str]:
    """Modules of ours that are imported under a name that does not hold theirs: whoever reads on looks for a module that is not there."""
    known = set(modules)
    return [
        f"{node.module}.{alias.name} as {alias.asname}"
        for node in nodes(source)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname and f"{node.module}.{alias.name}" in known and alias.name not in alias.asname
    ]


def test_modules_are_imported_under_their_own_names() -> None:
    known = {module_name(path) for path in sources()}
    found = {module_name(path): renamed(path.read_text(), known) for path in sources()}
    assert {name: aliases for name, aliases in found.items() if aliases} == {}


def test_an_alias_with_another_name_is_seen() -> None:
    source = "def f():\n    from voicelathe.data import split as cut, corpus as whole_corpus\n    from voicelathe.data.corpus import of as made"
    known = ["voicelathe.data.split", "voicelathe.data.corpus"]
    assert renamed(source, known) == ["voicelathe.data.split as cut"]


def crowded(root: Path) -> dict[str, int]:
    """Folders with more modules than one can overlook."""
    sizes = {
        folder.relative_to(root).as_posix(): len(list(folder.glob("*.py")))
        for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]
    }
    return {name: size for name, size in sizes.items() if size > MAX_FILES}


def test_a_folder_holds_no_more_modules_than_one_can_overlook() -> None:
    assert crowded(SRC) == {}


def test_the_worker_reaches_nothing_that_belongs_to_the_parent() -> None:
    reached = closure("voicelathe.worker.__main__")
    assert len(reached) > 10
    for name, targets in reached.items():
        assert not {target.split(".")[0] for target in targets} & PARENT_ONLY, name
        assert not [target for target in targets if _below(target, PARENT_MODULES)], name


def _below(target: str, modules: Iterable[str]) -> bool:
    return any(target == module or target.startswith(f"{module}.") for module in modules)


def test_modules_and_functions_fit_in_one_sitting() -> None:
    assert [module_name(path) for path in sources() if len(path.read_text().splitlines()) > MAX_LINES] == []
    found = {f"{module_name(path)}.{name}": length for path in sources() for name, length in functions(path)}
    assert {name: length for name, length in found.items() if length > MAX_FUNCTION_LINES} == {}


def named_twice(root: Path) -> dict[str, list[str]]:
    """Class names that more than one module defines; what every family has under one name counts once for all of them."""
    places: dict[str, list[str]] = {}
    for path in sources(root):
        for node in nodes(path.read_text()):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(path.relative_to(root).as_posix())
    return {
        name: found
        for name, found in places.items()
        if len(found) > 1
        and not (name in OF_EVERY_FAMILY and all(one.startswith("families/") for one in found))
    }


def test_a_class_name_means_one_thing() -> None:
    assert named_twice(SRC) == {}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in nodes(path.read_text()):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


def says_nothing(source: str) -> bool:
    """Whether the docstring of a module is missing or a placeholder."""
    return len((ast.get_docstring(ast.parse(source)) or "").split()) < 2


def test_every_module_opens_with_a_docstring() -> None:
    assert [module_name(path) for path in sources() if says_nothing(path.read_text())] == []


def test_no_module_carries_the_name_of_a_stdlib_module() -> None:
    scripts = [*sources(), *sorted((ROOT / "pipelines").glob("*.py"))]
    plain = [path for path in scripts if not path.stem.startswith("__")]
    packages = [path for path in SRC.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    taken = [path for path in [*plain, *packages] if path.stem in sys.stdlib_module_names]
    assert [path for path in taken if not path.as_posix().endswith(tuple(STDLIB_NAMES))] == []


# --- the tests above must be able to fail ----------------------------------------------------------------------------

PLANTED = {
    "from voicelathe import tracking": "voicelathe.tracking",  # the form that a first version of this test overlooked
    "import voicelathe.cli": "voicelathe.cli",
    "from voicelathe.registry.promote import promote": "voicelathe.registry.promote.promote",
    "def late():\n    from voicelathe.worker import encode": "voicelathe.worker.encode",
    "import importlib\nimportlib.import_module('voicelathe.process.runner')": "voicelathe.process.runner",
}


@pytest.mark.parametrize("source, target", PLANTED.items())
def test_a_planted_upward_import_is_seen(source: str, target: str) -> None:
    assert upward("voicelathe.data.audit.clean", imports(source)) == [target]


def test_imports_within_a_layer_and_upwards_in_the_list_are_allowed() -> None:
    source = "from voicelathe import digest; from voicelathe.config import params\nfrom voicelathe.data.audit.rules import RULES\nimport json"
    assert upward("voicelathe.data.audit.clean", imports(source)) == []
    assert upward("voicelathe.data.latents.cache", {"voicelathe.families.base.ClipItem"}) == []
    assert upward("voicelathe.families.voxcpm.model", {"voicelathe.data.latents.cache"}) == [
        "voicelathe.data.latents.cache"
    ]


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(AssertionError, match="relative imports"):
        imports("from . import params")


def test_a_module_in_no_layer_is_noticed() -> None:
    assert rank_of("voicelathe.helpers") is None
    assert (
        rank_of("voicelathe.families.base") < rank_of("voicelathe.config.params") < rank_of("voicelathe.data")
    )


@pytest.mark.parametrize("tool", sorted(DOORS))
def test_a_planted_heavy_import_is_seen(tool: str) -> None:
    assert outside_door(SRC / "cli" / "summary.py", imports(f"def f():\n    import {tool}.x")) == [tool]
    assert outside_door(SRC / "cli" / "summary.py", imports(f"from {tool} import y")) == [tool]


def test_the_doors_are_open_where_they_should_be() -> None:
    assert outside_door(SRC / "families" / "voxcpm" / "losses.py", {"voxcpm.modules"}) == []
    assert outside_door(SRC / "tracking" / "store.py", {"mlflow"}) == []
    assert outside_door(SRC / "registry" / "promote.py", {"mlflow"}) == ["mlflow"]


def test_a_placeholder_is_no_docstring() -> None:
    assert says_nothing('"""TODO"""') and says_nothing("x = 1") and not says_nothing('"""The question."""')


def test_a_folder_with_too_many_modules_is_seen(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    for number in range(MAX_FILES + 1):
        (tmp_path / "room" / f"m{number}.py").write_text("")
    assert crowded(tmp_path) == {"room": MAX_FILES + 1}


def test_a_class_name_that_is_taken_is_seen_and_a_family_s_own_is_not(tmp_path: Path) -> None:
    for room in ("families/a", "families/b", "data"):
        (tmp_path / room).mkdir(parents=True)
    for room, name in (
        ("families/a", "Pack"),
        ("families/b", "Pack"),
        ("families/a", "Word"),
        ("data", "Word"),
    ):
        with (tmp_path / room / "m.py").open("a") as file:
            file.write(f"class {name}:\n    pass\n")
    assert named_twice(tmp_path) == {"Word": ["data/m.py", "families/a/m.py"]}
    (tmp_path / "data/m.py").write_text("class Pack:\n    pass\n")
    assert set(named_twice(tmp_path)) == {"Pack"}, "outside the families the name is taken"


def test_a_function_that_is_too_long_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text("def f():\n" + textwrap.indent("x = 1\n" * 80, "    "))
    assert dict(functions(path)) == {"f": 81}
