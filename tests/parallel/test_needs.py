"""What another machine must have: facts that are compared by name, and sentences that say which differ, where and what to do."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import voicelathe
from tests.factories import rows
from voicelathe.config import params, schema
from voicelathe.errors import ClusterError, ParamsError
from voicelathe.parallel import local, needs, nodes, ray_cluster, spreading
from voicelathe.parallel.needs import Needs
from voicelathe.parallel.nodes import ClusterNode

ROOT = Path(__file__).parents[2]


def test_a_few_files_spread_over_all_are_enough_to_know_a_file_system_by() -> None:
    names = [f"{number:04d}.wav" for number in range(1000)]
    found = Needs.of(Path("audio"), names).files
    assert len(found) == needs.MAX_FILES and found[0] == "audio/0000.wav" and found[-1] > "audio/0800"
    assert Needs.of(Path("audio"), names[:3]).files == ("audio/0000.wav", "audio/0001.wav", "audio/0002.wav")
    assert Needs.of(Path("audio"), []).files == ()


def test_a_file_that_changed_and_one_that_is_gone_are_differences_and_nothing_else_is(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "model/weights.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    wanted = Needs((f"{tmp_path}/a.wav", f"{tmp_path}/b.wav"), (f"{tmp_path}/model",))
    here = needs.facts(wanted)
    assert needs.differences(here, needs.facts(wanted)) == []
    (tmp_path / "a.wav").unlink()
    (tmp_path / "model/weights.bin").write_text("others")
    first, second = needs.differences(here, needs.facts(wanted))
    assert first.startswith(f"file {tmp_path}/a.wav: missing there, ") and "/model: " in second


def test_work_whose_digits_all_count_asks_for_vector_instructions_and_for_the_packages_of_a_family() -> None:
    plain, exact = needs.facts(Needs()), needs.facts(Needs(packages=("voxcpm",), is_exact=True))
    assert set(exact) - set(plain) == {"vector instructions", "package voxcpm"}
    older = {**exact, "vector instructions": "avx"}
    (said,) = needs.differences(exact, older)
    assert said.startswith("vector instructions: avx there, ") and needs._vectors() in said
    assert nodes.remedy([ClusterNode("n1", 4.0, 0.0, [said])]) == nodes.ALIKE


def test_a_cluster_without_room_for_a_task_is_told_what_a_task_takes() -> None:
    connection = nodes.Connection(None, "head:6379", "", None)
    assert "no node with a CPU. Add one" in str(nodes.no_nodes(connection, Needs()))
    large = str(nodes.no_nodes(connection, Needs(cpus=4, gpus=1)))
    assert "no node with 4 CPUs and a GPU. Add one" in large and "set machine.threads lower" in large


def test_another_checkout_of_the_same_version_is_another_one(tmp_path: Path) -> None:
    package = Path(voicelathe.__file__).parent
    shutil.copytree(package, tmp_path / "voicelathe", ignore=shutil.ignore_patterns("__pycache__"))
    ask = "from voicelathe.parallel import needs; print(needs.code())"

    def code() -> str:
        command = [sys.executable, "-c", ask]
        env = {"PYTHONPATH": str(tmp_path), "PATH": ""}
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()

    assert code() == needs.code()
    with (tmp_path / "voicelathe/rng.py").open("a") as file:
        file.write("# changed\n")
    assert code() != needs.code()


def test_a_refusal_names_the_node_both_values_and_what_to_do() -> None:
    other = ClusterNode("n1 (10.0.0.1)", 4.0, 0.0, ["package numpy: 2.1.0 there, 2.2.6 here"])
    blind = ClusterNode(
        "n2 (10.0.0.2)", 4.0, 0.0, ["the project's folder /srv/voice cannot be opened: No such file"]
    )
    said = nodes.refusal("head:6379", [other, blind], 5)
    assert said.startswith(
        "2 of 5 nodes of the cluster at head:6379 cannot do this work; nothing was begun:\n n1 (10.0.0.1)\n"
    )
    assert "package numpy: 2.1.0 there, 2.2.6 here" in said and "/srv/voice" in said
    assert nodes.remedy([other]) == nodes.SAME and nodes.remedy([blind]) == nodes.MOUNT
    silent = ClusterNode("n3", 4.0, 0.0, ["no answer within 180 s"])
    assert nodes.remedy([silent]) == nodes.LOOK
    assert nodes.remedy([other, blind]) == f"{nodes.MOUNT} {nodes.SAME}"


def test_what_ray_says_becomes_a_sentence() -> None:
    """Texts of Ray 2.60."""
    other = (
        "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.12.1\n"
        "This process on node 10.0.0.1 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    assert (
        "started with Ray 2.59.0 and Python 3.12.1; here are Ray 2.60.0 and Python 3.11.7"
        in ray_cluster._not_joined("head:6379", other, "2.60.0")
    )
    none = (
        "Could not find any running Ray instance. Please specify the one to connect to by setting `--address`"
    )
    assert (
        "no Ray runs on this machine. Join the cluster (ray start --address HEAD:PORT)"
        in ray_cluster._not_joined("auto", none, "2.60.0")
    )
    joined = ConnectionError("Failed to connect to Ray cluster at head:6379")
    joined.__cause__ = RuntimeError("No node info found matching attributes: ''")
    assert (
        "could not join: Failed to connect to Ray cluster at head:6379: No node info found matching attributes: '' If this machine"
        in ray_cluster._not_joined("head:6379", ray_cluster._chain(joined), "2.60.0")
    )


def test_ray_that_is_not_installed_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"ray cannot be imported here .*pip install 'voicelathe\[ray\]'"):
        list(local.map_shards(str, [1], schema.Engine("ray", 1)))


def test_an_address_at_which_nothing_answers_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'voicelathe[ray]'")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ClusterError, match=r"engine\.address = '127\.0\.0\.1:9': nothing answers there .*ray start --head"
    ):
        local.try_each(iter, [[1]], schema.Engine("ray", 1, "127.0.0.1:9"), local.ItemLimits(1 << 28, 1.0))
    assert list(tmp_path.iterdir()) == [], "nothing was begun"


@pytest.mark.parametrize(
    "address", ["null", "auto", "10.0.0.1:6379", "head.cluster.local:6379", '"[fd00::1]:6379"']
)
def test_an_address_is_auto_or_a_host_with_a_port(address: str) -> None:
    text = (ROOT / "params.yaml").read_text().replace("address: null", f"address: {address}")
    engine = params.check(params.parse(text, "here"), "here").engine
    assert str(engine.address) == address.strip('"').replace("null", "None")


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "http://head:8265", "head:port", '""'])
def test_another_address_is_refused_by_name(address: str) -> None:
    text = (ROOT / "params.yaml").read_text().replace("address: null", f"address: {address}")
    with pytest.raises(ParamsError, match=r"engine\.address = "):
        params.check(params.parse(text, "here"), "here")


def test_a_file_of_before_has_no_address_and_is_read(tmp_path: Path) -> None:
    shipped = (ROOT / "params.yaml").read_text()
    before = "".join(line for line in shipped.splitlines(keepends=True) if "  address:" not in line)
    assert before != shipped
    assert params.check(params.parse(before, "here"), "here").engine == rows.PARALLEL


def test_a_node_that_joined_late_and_differs_does_nothing_and_one_whose_files_go_away_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task itself, here; on a cluster it runs in a process of a node."""
    monkeypatch.chdir(tmp_path)
    Path("a.wav").write_text("audio")
    wanted = Needs(("a.wav",))
    here, sizes = needs.facts(wanted), needs.sizes(wanted.files)
    fit = spreading.TaskOrder(str(tmp_path), here, wanted, sizes)
    assert spreading._do(fit, len, "abc") == ("done", 3)
    other = replace(fit, expected={**here, "package numpy": "1.0"})
    kind, node = spreading._do(other, lambda _: pytest.fail("it worked"), "abc")
    assert kind == "unfit" and node.problems == [f"package numpy: {here['package numpy']} there, 1.0 here"]
    kind, node = spreading._do(fit, lambda _: Path("a.wav").unlink(), "abc")
    assert kind == "unfit" and node.problems == ["file a.wav: missing there, 5 bytes here"]
    with pytest.raises(
        ClusterError, match=r"cannot go on with this work.*\n.*a\.wav.*\nMount the same file system"
    ):
        spreading._taken((kind, node))
    kind, node = spreading._do(replace(fit, root=str(tmp_path / "gone")), len, "abc")
    assert kind == "unfit" and "cannot be opened" in node.problems[0]
