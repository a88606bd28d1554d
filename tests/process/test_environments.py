"""An interpreter of a family's own is there and made from the present pins, or the reason says what is missing and what to do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import locks
from voicelathe import digest, layout, records
from voicelathe.errors import FamilyUnavailable
from voicelathe.process import environments

FAMILY = "cosyvoice3"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with pins that point at a repository beside it, of one commit."""
    upstream = tmp_path / "upstream"
    (upstream / "code").mkdir(parents=True)
    (upstream / "code/tiny_upstream.py").write_text("x = 1\n")
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b.invalid", "commit", "-qm", "one"],
    ):
        subprocess.run(["git", "-C", str(upstream), *words], check=True)
    commit = subprocess.check_output(["git", "-C", str(upstream), "rev-parse", "HEAD"], text=True).strip()
    root = tmp_path / "project"
    (root / "envs" / FAMILY).mkdir(parents=True)
    pins = {"repository": str(upstream), "commit": commit, "paths": ["code"], "module": "tiny_upstream"}
    (root / "envs" / FAMILY / "upstream.json").write_text(json.dumps(pins))
    (root / "envs" / FAMILY / "requirements.txt").write_text("# nothing\n")
    monkeypatch.chdir(root)
    return root


def ready() -> Path:
    """As `create` leaves it, without its minutes of installing."""
    root = layout.ENVIRONMENTS / FAMILY
    (root / "venv/bin").mkdir(parents=True)
    (root / "venv/bin/python").write_text("")
    upstream, source = environments._upstream(FAMILY), Path.cwd().parent / "upstream"
    made = environments.Made(environments._pins(FAMILY), str(source), environments._code(source, upstream))
    digest.write_json(root / environments.READY, records.to_json(made))
    return root


def test_without_an_interpreter_the_reason_names_the_command(project: Path) -> None:
    said = environments.lacking(FAMILY, "speak")
    assert said is not None and "ready.json is missing. Run: voicelathe env create cosyvoice3" in said
    assert environments.lacking(FAMILY, "train") is None, "that runs here"
    assert environments.lacking("voxcpm2", "speak") is None


def test_what_another_version_made_is_made_anew(project: Path) -> None:
    root = ready()
    digest.write_json(root / environments.READY, environments._pins(FAMILY))
    said = environments.lacking(FAMILY, "speak")
    assert (
        said is not None and "by another version of voicelathe. Run: voicelathe env create cosyvoice3" in said
    )


def test_changed_pins_make_it_stale_and_a_lost_interpreter_is_said(project: Path) -> None:
    root = ready()
    assert environments.python(FAMILY) == root / "venv/bin/python"
    (root / "venv/bin/python").unlink()
    with pytest.raises(FamilyUnavailable, match="python is gone"):
        environments.python(FAMILY)
    (project / "envs" / FAMILY / "requirements.txt").write_text("torch\n")
    with pytest.raises(FamilyUnavailable, match="made from other pins"):
        environments.python(FAMILY)


def test_a_clone_is_at_the_pinned_commit_and_a_killed_one_is_begun_anew(project: Path) -> None:
    upstream, into = environments._upstream(FAMILY), layout.ENVIRONMENTS / FAMILY / "source"
    (into.with_name("source.partial") / ".git").mkdir(parents=True)
    assert environments._fetched(upstream, into, print) == into
    assert (into / "code/tiny_upstream.py").is_file() and not into.with_name("source.partial").exists()
    assert environments._fetched(upstream, into, print) == into


def test_a_checkout_of_another_commit_or_without_its_folders_is_refused(project: Path) -> None:
    upstream = project.parent / "upstream"
    pins = project / "envs" / FAMILY / "upstream.json"
    told = json.loads(pins.read_text())
    pins.write_text(json.dumps({**told, "commit": "0" * 40}))
    with pytest.raises(FamilyUnavailable, match=r"is at commit [0-9a-f]{12}, and 000000000000 is pinned"):
        environments.create(FAMILY, upstream, print)
    pins.write_text(json.dumps({**told, "paths": ["gone"]}))
    with pytest.raises(FamilyUnavailable, match="gone is missing or empty"):
        environments.create(FAMILY, upstream, print)


def test_a_checkout_with_a_change_that_was_not_committed_is_refused(project: Path) -> None:
    upstream = project.parent / "upstream"
    (upstream / "code/more.py").write_text("import os; os.environ\n")
    with pytest.raises(
        FamilyUnavailable, match=r"holds 1 changes that nobody reviewed \(\?\? code/more\.py\)"
    ):
        environments.create(FAMILY, upstream, print)


def test_a_clone_that_was_changed_is_put_right_again(project: Path) -> None:
    upstream, into = environments._upstream(FAMILY), layout.ENVIRONMENTS / FAMILY / "source"
    environments._fetched(upstream, into, print)
    (into / "code/tiny_upstream.py").write_text("x = 2\n")
    (into / "code/more.py").write_text("")
    environments._fetched(upstream, into, print)
    assert (into / "code/tiny_upstream.py").read_text() == "x = 1\n" and not (into / "code/more.py").exists()


def test_code_that_changed_after_the_environment_was_made_is_noticed(project: Path) -> None:
    ready()
    (project.parent / "upstream/code/tiny_upstream.py").write_text("x = 2\n")
    with pytest.raises(FamilyUnavailable, match="is not what it was"):
        environments.python(FAMILY)


def test_what_is_installed_and_imported_sees_no_secret(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrst")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abcdefgh")
    seen = environments._do([sys.executable, "-c", "import os; print(*os.environ)"]).split()
    assert "PATH" in seen and not {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY"} & {*seen}


@pytest.mark.slow
def test_a_package_without_a_wheel_is_built_with_the_locked_builder_and_sees_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real pip in a new environment: one such package, and another setuptools than the newest."""
    named = dict.fromkeys(("antlr4-python3-runtime", "setuptools"), "")
    for block in locks.blocks(REPOSITORY / "envs/cosyvoice3/requirements.lock"):
        if (name := block.split("==")[0]) in named:
            named[name] = block
    (tmp_path / environments.LOCK).write_text(named["antlr4-python3-runtime"] + "\n")
    (tmp_path / environments.BUILD_LOCK).write_text(named["setuptools"] + "\n")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    interpreter = tmp_path / "venv/bin/python"
    (site,) = (tmp_path / "venv/lib").glob("*/site-packages")
    (site / "onlooker.pth").write_text(  # read by every interpreter of this environment as it starts
        f"import os; print(*os.environ, file=open({str(tmp_path / 'seen')!r}, 'a'))\n"
    )
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrst")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")  # where a wheel of an earlier build may lie
    try:
        environments._install(interpreter, tmp_path)
    except FamilyUnavailable:
        if _index_answers(interpreter):
            raise
        pytest.skip("no package index answers here, so nothing was built")
    (wheel,) = site.glob("antlr4*.dist-info/WHEEL")
    version = named["setuptools"].split("==")[1].split()[0]
    assert f"Generator: setuptools ({version})" in wheel.read_text()
    seen = (tmp_path / "seen").read_text()
    assert len(seen.splitlines()) >= 3 and "HF_TOKEN" not in seen, "builder, package, the question about CUDA"


def _index_answers(interpreter: Path) -> bool:
    asked = [
        str(interpreter),
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "-d",
        str(interpreter.parent),
        "setuptools",
    ]
    return subprocess.run(asked, capture_output=True).returncode == 0


def test_everybody_asks_in_the_same_way_whether_torch_wants_cuda() -> None:
    """Makefile, Dockerfile and `env create`; a torch that is not there wants none."""
    condition = environments.HAS_CUDA.split("print(")[1].removesuffix(")")
    for path in ("Makefile", "deploy/Dockerfile"):
        assert f"sys.exit({condition})" in (REPOSITORY / path).read_text()
    without = [sys.executable, "-I", "-S", "-c", environments.HAS_CUDA]
    assert environments._do(without).strip() == "False"


@pytest.mark.parametrize(
    "folder, unbuilt",
    [(".", ""), ("envs/cosyvoice3", "cython"), ("envs/indextts2", "")],
)
def test_what_builds_is_a_part_of_the_lock(folder: str, unbuilt: str) -> None:
    lock, builders = (
        set(locks.blocks(REPOSITORY / folder / name)) for name in (environments.LOCK, environments.BUILD_LOCK)
    )
    names = {block.split("==")[0] for block in builders}
    assert builders <= lock and {"setuptools", unbuilt} - {""} <= names


@pytest.mark.parametrize("family", environments.needed())
def test_every_line_of_a_familys_lock_has_a_hash(family: str) -> None:
    for name in (environments.LOCK, environments.CUDA_LOCK):
        locks.assert_hashed(REPOSITORY / environments.PINS / family / name)


def test_a_family_that_needs_none_is_refused_with_those_that_do(project: Path) -> None:
    with pytest.raises(
        FamilyUnavailable, match=r"needs no interpreter of its own\. These do: cosyvoice3, indextts2"
    ):
        environments.create("voxcpm2", None, print)
