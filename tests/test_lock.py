"""The lock names every package that pyproject.toml asks for, for each Python it allows, with the sha256 of its files and a licence that fits."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.factories import locks
from tools import lock

ROOT = Path(__file__).parents[1]
LOCK, CUDA = ROOT / "requirements.lock", ROOT / "requirements-cuda.lock"
PYTHONS = ("3.11", "3.12", "3.13")
FREE = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|Unlicense|Zero|0BSD", re.I)


def pinned(lock: Path, python: str) -> dict[str, str]:
    """What pip would take of a lock on Linux: name -> version."""
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    found = [Requirement(block.split("\\")[0]) for block in locks.blocks(lock)]
    return {
        canonicalize_name(one.name): str(one.specifier)[2:]
        for one in found
        if one.marker is None or one.marker.evaluate(here)
    }


@pytest.mark.parametrize(
    "lock",
    [
        LOCK,
        CUDA,
        ROOT / "tools/sbom.lock",
        ROOT / "tools/audit.lock",
        ROOT / "tools/uv.lock",
        ROOT / "tools/site.lock",
    ],
    ids=lambda path: path.name,
)
def test_every_package_has_the_sha256_of_its_files(lock: Path) -> None:
    locks.assert_hashed(lock)


def test_a_line_without_a_hash_is_seen(tmp_path: Path) -> None:
    bare = tmp_path / "requirements.lock"
    bare.write_text(LOCK.read_text() + "left-out==1.0\n")
    with pytest.raises(AssertionError, match="left-out"):
        locks.assert_hashed(bare)


@pytest.mark.parametrize("python", PYTHONS)
def test_what_pyproject_asks_for_is_in_the_lock_of_every_python(python: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    found = pinned(LOCK, python)
    for requirement in map(Requirement, asked):
        version = found.get(canonicalize_name(requirement.name))
        if requirement.marker and not requirement.marker.evaluate({"python_version": python}):
            continue
        assert version is not None and requirement.specifier.contains(version), (requirement, version)


def test_a_machine_without_a_card_installs_none_of_cudas_libraries() -> None:
    assert not [name for name in pinned(LOCK, "3.11") if name.startswith("nvidia")]
    assert {"nvidia-cublas", "triton"} <= pinned(CUDA, "3.11").keys()


def test_an_audit_that_got_no_answer_is_no_success() -> None:
    """pip-audit skips what its database does not know, and ends with 0; that is also what a network without one looks like."""
    (command,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "--disable-pip -r" in line]
    assert "--strict" in command and "|| exit 1" in command
    patterns = re.findall(r"\S+\.lock", command)
    named = {path for pattern in patterns for path in ROOT.glob(pattern)}
    listed = subprocess.run(
        ["git", "ls-files", "*.lock"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    ours = {ROOT / name for name in listed.stdout.splitlines()}  # an environment has others, below .venv
    assert ours - {ROOT / "dvc.lock"} == named


def test_pip_refuses_a_file_that_is_not_the_locked_one(tmp_path: Path) -> None:
    """Real pip, and a lock in which one digit of a hash is another."""
    (block,) = [one for one in locks.blocks(LOCK) if one.startswith("annotated-doc==")]
    lock = tmp_path / "requirements.lock"
    lock.write_text(re.sub(r"sha256:(.)", lambda at: f"sha256:{'0' if at[1] != '0' else '1'}", block) + "\n")
    wheel = tmp_path / f"annotated_doc-{pinned(LOCK, '3.11')['annotated-doc']}-py3-none-any.whl"
    wheel.write_bytes(b"not the locked one")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--dry-run",
        "--ignore-installed",
        "--no-index",
        "-f",
        str(tmp_path),
    ]
    done = subprocess.run([*command, "--require-hashes", "-r", str(lock)], capture_output=True, text=True)
    assert done.returncode and "DO NOT MATCH THE HASHES" in done.stderr


def test_what_the_server_runs_on_may_be_given_away() -> None:
    """The extra `serve` and everything it brings, by the licence each package declares."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    waiting, seen = [Requirement(one).name for one in extras["serve"]], {}
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        about = distribution(name)
        given = [about.metadata.get("License-Expression"), *(about.metadata.get_all("Classifier") or ())]
        licences = [one for one in given if one and ("License" in one or one == given[0])] or [
            about.metadata.get("License") or ""
        ]
        seen[name] = "; ".join(licences)[:200]
        needed = [Requirement(one) for one in about.requires or ()]
        waiting += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    assert len(seen) > 8
    assert {
        name: licence for name, licence in seen.items() if not FREE.search(licence) or "GPL" in licence
    } == {}
    documented = (ROOT / "docs/serving.md").read_text()
    assert [name for name in seen if f"`{name}`" not in documented] == []


def test_the_locks_are_made_with_the_uv_that_everything_names(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["uv"]["required-version"] == f"=={lock.UV}" and re.fullmatch(
        r"\d+\.\d+\.\d+", lock.UV
    )
    assert f"`pip install uv=={lock.UV}`" in (ROOT / "docs/environment.md").read_text()
    for seen in (None, "0.0.1"):
        monkeypatch.setattr(lock, "version_of_uv", lambda seen=seen: seen)
        with pytest.raises(
            SystemExit, match=f"uv: {seen or 'not installed'}, .*pip install uv=={re.escape(lock.UV)}"
        ):
            lock.main([])


def test_set_up_installs_the_whole_lock_in_two_parts() -> None:
    """Torch by pip, the rest by uv: nothing twice, nothing left out."""

    def part(name: str) -> list[str]:
        rule = f"part: ; @$({name}) requirements.lock"
        done = subprocess.run(
            ["make", "-s", "--eval", rule, "part"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        return done.stdout.splitlines()

    torch, others = part("LOCK_OF_TORCH"), part("LOCK_WITHOUT_TORCH")
    assert torch[0].startswith("torch==") and all("--hash=" in line for line in torch[1:]) and len(torch) > 2
    assert sorted(torch + others) == sorted(LOCK.read_text().splitlines())
