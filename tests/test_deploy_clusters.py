"""Examples for schedulers: they are parsed, and held to the fields, commands and settings that they rely on.

This is not the schedulers' own validation: no schema of theirs is at hand offline. docs/scale.md calls them not verified.
"""

import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_documents import COMMANDS, mentioned
from voicelathe.config import params
from voicelathe.process import jobs

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SCRIPTS = [DEPLOY / "train.sh", DEPLOY / "slurm/train.sbatch"]
FILES = [*SCRIPTS, *sorted(DEPLOY.glob("kubernetes/*.yaml")), *sorted(DEPLOY.glob("skypilot/*.yaml"))]
DRIVER_PORTS = range(1024, 1 << 16)


def documents(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


SERVICE, JOB = documents(DEPLOY / "kubernetes/train.yaml")
(RAY,) = documents(DEPLOY / "kubernetes/raycluster.yaml")
(SKY,) = documents(DEPLOY / "skypilot/train.yaml")
POD = JOB["spec"]["template"]["spec"]
RAY_GROUPS = [RAY["spec"]["headGroupSpec"], *RAY["spec"]["workerGroupSpecs"]]
PODS = [POD, *(group["template"]["spec"] for group in RAY_GROUPS)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_names_commands_stages_and_files_that_exist(path: Path) -> None:
    text = path.read_text()
    typed = "\n".join(re.findall(r"voicelathe [a-z]+ .*", re.sub(r'"\$\w+"', "RECIPE", text)))
    assert mentioned(typed.replace("voicelathe cuda", "")) <= set(COMMANDS)
    stages = {one.split("@")[0] for one in re.findall(r"\b(?:preflight|train|encode)@", text)}
    assert {f"{one}:" for one in stages} <= set(
        re.findall(r"^  (\w+:)$", (ROOT / "dvc.yaml").read_text(), re.M)
    )
    for name in re.findall(r"\b(?:deploy|docs)/[\w./-]+\w", text):
        assert (ROOT / name).exists(), name
    for recipe in re.findall(r"RECIPE(?:=|, value: |: )([a-z0-9.-]+\w)", text):
        assert (ROOT / "recipes" / f"{recipe}.yaml").is_file(), recipe
    assert "ot verified" in text or path in SCRIPTS[:1]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_bash_and_can_be_started(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text().startswith("#!/usr/bin/env bash\n") and "set -" in path.read_text()
    if (program := shutil.which("shellcheck")) is not None:
        done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    assert SCRIPTS[0].stat().st_mode & stat.S_IXUSR


def test_slurm_starts_one_command_on_each_machine_and_asks_it_to_stop_before_the_time_is_over() -> None:
    text = SCRIPTS[1].read_text()
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", text, re.M))
    assert options["ntasks-per-node"] == "1" and int(options["nodes"]) == 2
    kind, seconds = options["signal"].split("@")
    assert kind == "TERM" and int(seconds) > jobs.STOP_S
    first_command = next(line for line in text.splitlines() if line and line[0] != "#")
    assert text.index("#SBATCH --open-mode") < text.index(first_command), (
        "directives end at the first command"
    )
    assert agreed(text, int(options["nodes"]), int(options["gpus-per-node"]))


def agreed(text: str, machines: int, cards: int) -> bool:
    """Whether the settings in the comment are those of the machines asked for, and are settings."""
    tree = params.read_yaml(ROOT / "params.yaml")
    (processes,) = re.findall(r"machine\.processes: (\d+)", text)
    (count,) = re.findall(r"nodes\.count: (\d+)", text)
    assert "processes" in tree["machine"] and "count" in tree["nodes"]
    return (int(processes), int(count)) == (machines * cards, machines)


def test_the_job_of_kubernetes_gives_each_pod_a_rank_a_name_and_time_to_save() -> None:
    spec = JOB["spec"]
    assert (JOB["apiVersion"], JOB["kind"], spec["completionMode"]) == ("batch/v1", "Job", "Indexed")
    assert spec["completions"] == spec["parallelism"] == 2 and spec["backoffLimit"] == 0
    assert spec["successPolicy"]["rules"] == [{"succeededIndexes": "0"}]
    assert POD["restartPolicy"] == "Never" and POD["terminationGracePeriodSeconds"] > jobs.STOP_S
    name = JOB["metadata"]["name"]
    assert SERVICE["spec"]["clusterIP"] == "None" and SERVICE["metadata"]["name"] == POD["subdomain"]
    assert SERVICE["spec"]["selector"] == {"job-name": name} and SERVICE["spec"]["publishNotReadyAddresses"]
    (container,) = POD["containers"]
    given = {one["name"]: one["value"] for one in container["env"]}
    assert given["MASTER_ADDR"] == f"{name}-0.{POD['subdomain']}"
    assert int(given["MASTER_PORT"]) in DRIVER_PORTS and all(isinstance(one, str) for one in given.values())
    cards = container["resources"]["limits"]["nvidia.com/gpu"]
    assert agreed((DEPLOY / "kubernetes/train.yaml").read_text(), spec["completions"], cards)


@pytest.mark.parametrize("pod", PODS, ids=["train", "head", "worker"])
def test_every_pod_works_in_the_project_on_one_volume_as_the_image_s_user(pod: dict[str, Any]) -> None:
    user = re.findall(r"^USER (\d+):(\d+)$", (DEPLOY / "Dockerfile").read_text(), re.M)[-1]
    given = pod["securityContext"]
    assert given["runAsNonRoot"] and (str(given["runAsUser"]), str(given["fsGroup"])) == user
    claims = {one["name"]: one.get("persistentVolumeClaim") for one in pod["volumes"]}
    (container,) = pod["containers"]
    assert {"name": "project", "mountPath": container["workingDir"]} in container["volumeMounts"]
    assert {one["name"] for one in container["volumeMounts"]} == set(claims)
    assert claims["project"] == {"claimName": "voicelathe-project"} and container["workingDir"] == "/project"
    assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", container["image"]), "a version, not the newest"


def test_the_ray_cluster_has_the_ray_of_the_lock_and_a_head_that_only_drives() -> None:
    (locked,) = re.findall(r"^ray==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.M)
    assert (RAY["apiVersion"], RAY["kind"], RAY["spec"]["rayVersion"]) == ("ray.io/v1", "RayCluster", locked)
    assert RAY_GROUPS[0]["rayStartParams"]["num-cpus"] == "0"
    for group in RAY_GROUPS:
        assert all(isinstance(one, str) for one in group["rayStartParams"].values()), (
            "KubeRay takes text only"
        )
    for group in RAY_GROUPS[1:]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] and group["groupName"]


def test_skypilot_starts_the_same_script_with_its_own_rank() -> None:
    known = {"name", "num_nodes", "resources", "volumes", "envs", "run"}
    assert set(SKY) <= known and "SKYPILOT_NODE_RANK" in SKY["run"] and "SKYPILOT_NODE_IPS" in SKY["run"]
    cards = int(SKY["resources"]["accelerators"].split(":")[1])
    assert agreed((DEPLOY / "skypilot/train.yaml").read_text(), SKY["num_nodes"], cards)
    done = subprocess.run(["bash", "-n"], input=SKY["run"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_rank_0_runs_the_stages_others_join_and_a_stop_waits_until_the_trainer_has_saved(
    tmp_path: Path,
) -> None:
    """DVC is another program here, which dies at once as DVC does; its trainer holds the run's lock for a while."""
    lock = tmp_path / "checkpoints/voice/0123/.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    for name, body in (
        ("dvc", 'echo "$@" > dvc.said; exec sleep 60'),
        ("voicelathe", 'echo "$@" > voicelathe.said; exit 7'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    how = {"cwd": tmp_path, "env": {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}}
    joined = subprocess.run([str(SCRIPTS[0]), "voice", "1"], check=False, **how)  # type: ignore[call-overload]
    assert joined.returncode == 7 and (tmp_path / "voicelathe.said").read_text() == "join voice\n"
    first = subprocess.Popen([str(SCRIPTS[0]), "voice", "0"], **how)  # type: ignore[call-overload]
    deadline = time.monotonic() + 30
    while not (tmp_path / "dvc.said").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        first.send_signal(signal.SIGTERM)
        time.sleep(1.5)
        assert first.poll() is None, "it left while the state was being saved"
    assert first.wait(30) == 143
    assert (tmp_path / "dvc.said").read_text() == "repro -s preflight@voice train@voice\n"
