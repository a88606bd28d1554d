"""The images and the compose file: nobody runs as root, nothing is open to the network, nothing is newest, every package has its hash.

Where a container engine answers, the image is built and started; elsewhere that test is skipped by name and the rest only reads the files.
"""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.factories import locks, mlflow_stores

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
IMAGE = re.compile(r"[\w./-]+:[\w.-]*\d[\w.-]*$")  # with a version in its tag


def instructions(text: str) -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) of a Dockerfile, with continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines()]


def stages(text: str) -> dict[str, list[tuple[str, str]]]:
    """Name -> everything that an image of that name is made by, with what it inherits; the first entry is its base image."""
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for name, rest in instructions(text):
        if name == "FROM":
            base, _as, own = rest.split()
            current = list(found.get(base, [("FROM", base)]))
            found[own] = current
        else:
            current.append((name, rest))
    return found


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


STAGES = stages((DEPLOY / "Dockerfile").read_text())
SERVICES = compose()["services"]


@pytest.mark.parametrize("target", ["cpu", "cuda", "mlflow"])
def test_an_image_is_not_root_has_a_health_check_and_a_version(target: str) -> None:
    made = STAGES[target]
    assert IMAGE.fullmatch(made[0][1]), made[0]
    users = [rest for name, rest in made if name == "USER"]
    assert users and not users[-1].startswith(("root", "0"))
    assert [rest for name, rest in made if name == "HEALTHCHECK" and "/health" in rest]
    assert [rest for name, rest in made if name == "ENTRYPOINT" and rest.startswith("[")], (
        "signals reach the program"
    )


def test_packages_are_installed_by_hash_and_what_is_copied_is_there() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for made in STAGES.values():
        for name, rest in made:
            for command in re.findall(r"pip install ([^&]+)", rest) if name == "RUN" else ():
                if command.split()[-1] != ".":
                    assert "--require-hashes" in command, command
                    assert {"--no-build-isolation", ":all:"} & {*command.split()}, (
                        "pip would fetch a builder of its own"
                    )
            if name == "COPY" and not rest.startswith("--from"):
                for source in rest.split()[:-1]:
                    assert (ROOT / source).exists() and f"!{source}" in ignored, source
    locks.assert_hashed(DEPLOY / "mlflow.lock")


def test_a_cpu_image_has_no_cuda_and_says_what_it_lacks() -> None:
    (run,) = [rest for name, rest in STAGES["build-cpu"] if name == "RUN" and "requirements.lock" in rest]
    assert "requirements-cuda.lock" not in run and "--mount=type=secret,id=pip," in run
    assert "torch is a CUDA build" in run
    assert any("requirements-cuda.lock" in rest for name, rest in STAGES["build-cuda"] if name == "RUN")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_gives_nothing_away(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"] and not service.get("privileged")
    if name != "postgres":  # its start-up script changes owner and user
        assert service["cap_drop"] == ["ALL"] and not service.get("cap_add")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert "build" in service or IMAGE.fullmatch(service["image"]), "a version, not the newest"
    for key, value in service.get("environment", {}).items():
        if any(word in key for word in ("PASSWORD", "SECRET", "KEY")) and key != "AWS_ACCESS_KEY_ID":
            assert re.fullmatch(r"\$\{\w+:\?\}", value), (
                f"{key} comes from the environment, and must be there"
            )


def test_the_voice_wants_keys_and_answers_for_one_name_only() -> None:
    for target in ("cpu", "cuda"):
        (entry,) = [rest for name, rest in STAGES[target] if name == "ENTRYPOINT"]
        words = json.loads(entry)
        keys = words[words.index("--keys") + 1]
        assert any(volume.endswith(f":{keys}:ro") for volume in SERVICES["voice"]["volumes"])
    option, host = SERVICES["voice"]["command"]
    assert option == "--allow-host" and host.startswith("${VOICELATHE_HOST:?")
    assert "entrypoint" not in SERVICES["voice"], "or the image's options are lost"
    (allowed,) = [one for one in SERVICES["mlflow"]["command"] if one.startswith("--allowed-hosts=")]
    assert "*" not in allowed


def test_who_needs_the_secret_of_the_build_is_given_it() -> None:
    for service in SERVICES.values():
        if "build" in service:
            target = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", service["build"]["target"])
            made = [*STAGES[target], *(one for copied in copied_from(target) for one in STAGES[copied])]
            needs = any("--mount=type=secret,id=pip" in rest for _name, rest in made)
            assert not needs or service["build"]["secrets"] == ["pip"]
            assert needs, "a target that needs none would say so here"


def copied_from(target: str) -> list[str]:
    return [
        match[1]
        for name, rest in STAGES[target]
        if name == "COPY" and (match := re.match(r"--from=(\S+)", rest))
    ]


def test_services_that_wait_for_each_other_can_tell_when_the_other_is_well() -> None:
    for service in SERVICES.values():
        for other, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                built = SERVICES[other].get("build")
                assert "healthcheck" in SERVICES[other] or (built and built["target"] in STAGES)
    assert SERVICES["voice"]["read_only"] and SERVICES["voice"]["volumes"][0].endswith(":/project:ro")


def test_every_setting_of_the_compose_file_is_in_the_example() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    given = {
        line.split("=")[0]
        for line in (DEPLOY / "env.example").read_text().splitlines()
        if "=" in line and line[0] != "#"
    }
    assert used == given
    assert "/deploy/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_hadolint_has_nothing_to_say() -> None:
    if (program := shutil.which("hadolint")) is None:
        pytest.skip("hadolint is not installed: the Dockerfile was read by the tests above only")
    done = subprocess.run([program, str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def engine() -> str | None:
    """A container engine that answers; a client alone is none."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True).returncode == 0:
            return name
    return None


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_image_is_built_and_its_server_is_healthy(tmp_path: Path) -> None:
    """The tracking server's image: it needs no project. Its base has everything that the voice's has."""
    import os

    if (program := engine()) is None:
        pytest.skip(
            "no container engine answers here: no image was built or started, the files were linted only"
        )
    if not (configured := os.environ.get("VOICELATHE_PIP_CONF")):
        pytest.skip("VOICELATHE_PIP_CONF names no pip.conf with PyTorch's CPU builds: no image was built")
    tag, port = "voicelathe-test:mlflow", mlflow_stores.free_port()
    build = [
        program,
        "build",
        "-f",
        "deploy/Dockerfile",
        "--target",
        "mlflow",
        "--secret",
        f"id=pip,src={configured}",
        "-t",
        tag,
        ".",
    ]
    subprocess.run(build, cwd=ROOT, check=True)
    start = [
        program,
        "run",
        "--rm",
        "--detach",
        "--read-only",
        "--tmpfs",
        "/tmp",
        "-p",
        f"127.0.0.1:{port}:5000",
        tag,
    ]
    started = subprocess.run(
        [*start, "--backend-store-uri", "sqlite:////tmp/mlflow.db"],
        check=True,
        capture_output=True,
        text=True,
    )
    try:
        end = time.monotonic() + 180
        while True:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
                break
            except httpx.HTTPError:
                assert time.monotonic() < end
                time.sleep(1)
    finally:
        subprocess.run([program, "rm", "--force", started.stdout.strip()], check=True, capture_output=True)
