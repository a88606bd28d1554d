"""What the documents say exists: every command and option in docs/cli.md, every path and target in README, valid recipes."""

import ast
import dataclasses
import re
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main

from voicelathe import cli
from voicelathe.config import params, schema
from voicelathe.evaluate.metrics import found

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
MANUAL = ROOT / "docs" / "cli.md"
NOT_IN_GIT = {"runs/", "checkpoints/", "registry/"}  # made by use


def commands(group: Any = None, before: str = "") -> Iterator[tuple[str, Any]]:
    """`base add` -> the command, for every command."""
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name, command


COMMANDS = dict(commands())
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}


def sections() -> dict[str, str]:
    """Heading of docs/cli.md, as typed without arguments -> its text."""
    found = re.findall(
        r"^### `voicelathe ([^`]+)`\n(.*?)(?=^#|\Z)", MANUAL.read_text(), re.MULTILINE | re.DOTALL
    )
    return {re.sub(r" [\[A-Z].*", "", heading): text for heading, text in found}


def test_every_command_is_documented_and_nothing_else() -> None:
    assert set(sections()) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    text = sections()[name]
    for option in (one for one in COMMANDS[name].params if one.name != "help"):
        for flag in (flag for flag in option.opts if flag.startswith("--")):
            assert f"`{flag}" in text, f"{flag} of `voicelathe {name}` is not in docs/cli.md"
    for flag in re.findall(r"^\* `(--[a-z-]+)|, `(--[a-z-]+)", text, re.MULTILINE):
        known = {flag for option in COMMANDS[name].params for flag in option.opts}
        assert "".join(flag) in known, f"docs/cli.md invents {flag} for `voicelathe {name}`"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_explains_itself(name: str) -> None:
    assert COMMANDS[name].help
    for option in COMMANDS[name].params:
        assert getattr(option, "help", None), f"{option.name} of `voicelathe {name}` has no help"


def mentioned(text: str) -> set[str]:
    """Commands that a text tells somebody to type."""
    typed = re.findall(r"voicelathe ([a-z]+(?:-[a-z]+)*)(?: ([a-z]+))?(?![a-z])", text)
    return {f"{first} {second}" if first in GROUPS else first for first, second in typed}


@pytest.mark.parametrize(
    "path",
    [README, *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("recipes/*.yaml"))],
    ids=lambda p: p.name,
)
def test_documents_name_commands_that_exist(path: Path) -> None:
    typed = "\n".join(
        [
            *re.findall(r"`(voicelathe [^`]+)`", path.read_text()),
            *re.findall(r"^\W*(voicelathe .+)$", path.read_text(), re.M),
        ]
    )
    assert mentioned(typed) <= set(COMMANDS)


# --- metrics ---------------------------------------------------------------------------------------------------------


def table_of_metrics() -> dict[str, set[str]]:
    """Metric -> its veto codes, as docs/metrics.md has them."""
    table = (ROOT / "docs/metrics.md").read_text().split("| metric | figures |")[1].split("\n\n")[0]
    cells = [row.strip("|").split("|") for row in table.splitlines()[2:]]
    return {
        name.strip(" `"): set(re.findall(r"[a-z_]+", codes.split("none")[0])) for name, _, codes, _ in cells
    }


def test_every_metric_is_a_row_with_its_veto_codes() -> None:
    known = {name: found.find(name).load()().figures for name in found.BUILT_IN}
    codes = {name: {one.veto for one in figures if one.veto} for name, figures in known.items()}
    assert table_of_metrics() == codes


# --- settings --------------------------------------------------------------------------------------------------------

SECTIONS = {field.name for part in (schema.Params, schema.Recipe) for field in dataclasses.fields(part)}


def settings(text: str) -> list[str]:
    """Dotted names in backticks that begin with a section of params.yaml or of a recipe."""
    quoted = re.findall(r"`([a-z_]+(?:\.(?:\*|[A-Za-z_]+))+)(?::[^`]*)?`", text)
    return [name for name in quoted if name.split(".")[0] in SECTIONS and not name.endswith(".yaml")]


def is_a_setting(dotted: str) -> bool:
    """Whether params.yaml or one of its recipes may have it; a recipe and a base have any name."""
    names = dotted.split(".")
    return any(
        _has(part, names)
        for part in (schema.Params, schema.Recipe)
        if names[0] in typing.get_type_hints(part)
    )


def _has(kind: Any, names: Sequence[str]) -> bool:
    if not names:
        return True
    options = [one for one in typing.get_args(kind) if one is not type(None)]
    if typing.get_origin(kind) is dict:
        return _has(options[1], names[1:])
    if not dataclasses.is_dataclass(kind):
        return any(_has(one, names) for one in options if dataclasses.is_dataclass(one))
    hints = typing.get_type_hints(kind)
    return names[0] in hints and _has(hints[names[0]], names[1:])


def test_settings_that_the_documents_name_exist() -> None:
    pages = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = {path.name: settings(path.read_text()) for path in pages if path.name != "log.md"}
    assert sum(len(names) for names in named.values()) > 40
    unknown = {page: [name for name in names if not is_a_setting(name)] for page, names in named.items()}
    assert {page: names for page, names in unknown.items() if names} == {}


def test_a_setting_that_is_gone_would_be_seen() -> None:
    text = "`listen.held_out_lines`, `recipes.*.listen.seeds`, `train.lora.rank: 4`, `audit.x_s`, `train.jsonl`, `x.y`"
    named = settings(text)
    assert [name for name in named if is_a_setting(name)] == ["recipes.*.listen.seeds", "train.lora.rank"]
    assert set(named) - {"train.jsonl"} >= {"listen.held_out_lines", "audit.x_s"}


def messages(path: Path) -> str:
    """Text in the code that is no docstring: what a user may read."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    constants = [
        node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings
    ]
    return "\n".join(node.value for node in constants if isinstance(node.value, str))


def said_settings(text: str) -> list[str]:
    """Dotted names of a message that begin with a section, but for names of files and settings that are gone and said to be."""
    found = re.findall(rf"(?<![\w./`{{}}-])((?:{'|'.join(sorted(SECTIONS))})(?:\.[a-z0-9_]+)+)", text)
    gone = {name for name, value, _hint in params.HINTS if value is None}
    return [
        one for one in found if one not in gone and not one.endswith((".json", ".jsonl", ".tsv", ".yaml"))
    ]


def test_settings_that_messages_and_comments_of_recipes_name_exist() -> None:
    texts = {path.name: messages(path) for path in sorted((ROOT / "src").rglob("*.py"))}
    for path in [ROOT / "params.yaml", *sorted((ROOT / "recipes").glob("*.yaml"))]:
        texts[path.name] = "\n".join(line.partition("#")[2] for line in path.read_text().splitlines())
    named = {name: said_settings(text) for name, text in texts.items()}
    assert sum(len(names) for names in named.values()) > 60
    unknown = {name: [one for one in names if not is_a_setting(one)] for name, names in named.items()}
    assert {name: names for name, names in unknown.items() if names} == {}


def test_a_setting_that_a_message_invents_would_be_seen() -> None:
    said = said_settings("raise listen.race.block_line or gate.min_rows; see preflight.json")
    assert [one for one in said if not is_a_setting(one)] == ["listen.race.block_line"]


def test_messages_tell_users_to_type_commands_that_exist() -> None:
    paths = sorted((ROOT / "src").rglob("*.py"))
    unknown = {path.name: mentioned(messages(path)) - set(COMMANDS) for path in paths}
    assert {name: commands for name, commands in unknown.items() if commands} == {}


def test_a_message_with_a_wrong_command_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        '"""voicelathe frobnicate."""\nx = f"Run: voicelathe base ad {y}, voicelathe promot X"\n'
    )
    assert mentioned(messages(tmp_path / "m.py")) - set(COMMANDS) == {"base ad", "promot"}


def test_make_targets_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", README.read_text(), re.MULTILINE)) <= targets


def file_map(page: Path = ROOT / "docs/README.md") -> list[str]:
    table = page.read_text().split("## Where things are")[1].split("##")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    return [path for row in rows for path in re.findall(r"`([^`]+)`", row)]


def test_the_file_map_names_what_exists_and_forgets_nothing() -> None:
    paths = file_map()
    missing = [
        path for path in paths if path not in NOT_IN_GIT and "*" not in path and not (ROOT / path).exists()
    ]
    assert missing == []
    short = [path for path in file_map(README) if path not in NOT_IN_GIT]
    assert [path for path in short if not (ROOT / path).exists()] == []
    named = {path.split("/")[0] for path in paths}
    hidden = {".git", ".venv", ".dvc", ".cache", "mlruns", "scripts"}
    every = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in hidden
    }
    assert every - named - {"envs"} == set()
    packages = {
        f"src/voicelathe/{path.name}/"
        for path in (ROOT / "src/voicelathe").iterdir()
        if (path / "__init__.py").is_file()
    }
    assert packages <= set(paths)


PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]


def test_every_page_is_named_by_the_index_of_the_manual() -> None:
    index = (ROOT / "docs/README.md").read_text()
    linked = set(re.findall(r"\]\(([^)#:]+)\)", index))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} - linked == set()


def test_links_and_pictures_of_the_pages_exist() -> None:
    linked = {path: re.findall(r"\]\(([^)#:]+)\)", path.read_text()) for path in PAGES}
    dead = [
        (path.name, link)
        for path, links in linked.items()
        for link in links
        if not (path.parent / link).exists()
    ]
    assert dead == []


def test_links_and_pictures_of_the_readme_exist() -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert [path for path in linked if not (ROOT / path).exists()] == []


def test_no_claim_is_left_open() -> None:
    for page in (README, ROOT / "docs/claims.md"):
        assert re.findall(r"TBD-[a-z-]+", page.read_text()) == []
        assert page.read_text().count("\n| `make repro` on a fresh clone |") == 1


def test_licence_and_changelog_are_those_of_the_package() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()
    assert re.search(
        r"^## \[Unreleased\]$|^## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d$",
        (ROOT / "CHANGELOG.md").read_text(),
        re.MULTILINE,
    )


# --- recipes ---------------------------------------------------------------------------------------------------------

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def key(path: Path) -> str:
    """The name of a recipe: its file's without dots, which DVC could not look up."""
    return path.stem.replace(".", "")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_validates_in_the_shipped_params(path: Path) -> None:
    fragment, tree = params.read_yaml(path), params.read_yaml(ROOT / "params.yaml")
    assert set(fragment) == {"bases", "recipes"} and set(fragment["recipes"]) == {key(path)}
    for section in ("bases", "recipes"):
        for name, entry in fragment[section].items():
            tree[section].setdefault(name, entry) if section == "bases" else tree[section].update(
                {name: entry}
            )
    if any(one["train"]["autocast"] for one in fragment["recipes"].values()):
        tree["machine"]["device"] = "cuda"  # step 3 of the recipe's own instructions
    merged = params.check(tree, path.name)
    assert merged.recipes[key(path)].base in fragment["bases"]


def test_one_recipe_is_shipped_for_each_base_and_mode() -> None:
    found = {path.stem: params.read_yaml(path)["recipes"][key(path)]["train"]["mode"] for path in RECIPES}
    assert found.pop("voxcpm2-full-reference") == "full", "the published run's memory stack, to compare with"
    assert found.pop("qwen3-tts-0.6b-lora") == "lora"
    assert found.pop("ruined") == "lora", "ruins the embedded base on purpose"
    bases = ("voxcpm2", "voxcpm15", "qwen3-tts-1.7b", "cosyvoice3", "indextts2", "indextts25", "mini")
    assert found == {f"{base}-{mode}": mode for base in bases for mode in ("lora", "full")}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_explains_its_knobs_and_says_what_was_not_run(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    if not path.stem.startswith(("mini", "ruined")):
        assert "NOT verified on a GPU here" in text
        train = text.split("    train:")[1].split("    evaluate:")[0].splitlines()
        knobs = [line for line in train if re.match(r"\s+(learning_rate|optimizer|clips_per_pass):", line)]
        assert len(knobs) == 3 and all("#" in line for line in knobs)


@pytest.mark.parametrize(
    "mode, rate, rank", [("lora", 1e-4, 32), ("full", 1e-5, None), ("full-reference", 1e-5, None)]
)
def test_the_recipes_of_voxcpm_2_are_the_published_ones(mode: str, rate: float, rank: int | None) -> None:
    name = f"voxcpm2-{mode}"
    tree = params.read_yaml(ROOT / "params.yaml")
    fragment = params.read_yaml(ROOT / "recipes" / f"{name}.yaml")
    tree["machine"]["device"] = "cuda"
    tree["bases"].update(fragment["bases"])
    tree["recipes"].update(fragment["recipes"])
    train: schema.Train = params.check(tree, name).recipes[name].train
    assert (train.clips_per_step, train.steps, train.checkpoint_every, train.learning_rate) == (
        8,
        9000,
        1000,
        rate,
    )
    assert (train.lora.rank if train.lora else None) == rank
    assert train.weight_decay == 0.01
    if mode != "lora":
        kept = {"full": "decoder", "full-reference": "all"}[mode]  # docs/plan.md: what fits 24 GiB
        assert (train.optimizer, train.activation_checkpointing) == ("paged_adamw8bit", kept)
        assert train.weights == ("fp32" if mode == "full-reference" else "bf16_split16")
        assert train.autocast == (mode == "full-reference")
