"""The worker as a process: its protocol, its locks, its end, and what its verbs write."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.factories import rows, training
from voicelathe import checkpoints, digest, records
from voicelathe.config import schema
from voicelathe.errors import BaseModelError, CheckpointError, ManifestError, RunLocked, WorkerError
from voicelathe.process import jobs, runner

LINES = [
    records.Line("one", "The lamp is on.", "en", 3),
    records.Line("two", "Nobody speaks of rain.", "en", 4),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus: Path) -> Path:
    """A corpus and a finished LoRA run with two checkpoints, made by a real worker."""
    train = training.train_settings("lora", steps=4, every=2)
    with contextlib.chdir(corpus):
        runner.run(training.train_job(corpus, corpus / "run", train), "test")
    return corpus


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def base() -> jobs.WeightsRef:
    return jobs.WeightsRef(
        records.Candidate(0, None), "base", str(training.BASE), training.target().base_digest
    )


def weights(root: Path, scale: float = 1.0) -> list[jobs.WeightsRef]:
    found = [base()]
    for step in (2, 4):
        directory = root / "run" / f"step_{step:07d}"
        found.append(
            jobs.WeightsRef(
                records.Candidate(step, scale), "lora", str(directory), checkpoints.identity(directory)
            )
        )
    return found


def validate_job(root: Path, out: Path, refs: list[jobs.WeightsRef]) -> jobs.ValidateJob:
    how = schema.Evaluate(
        passes=2, clips_per_pass=3, lora_scales=[1.0], zero_shot=None, reference=None, probe_clips=3
    )
    return jobs.ValidateJob(
        training.target(),
        how,
        9,
        str(root / "validation.jsonl"),
        str(root / "train.jsonl"),
        None,
        str(root / "latents"),
        training.LORA,
        refs,
        None,
        str(out),
    )


def speak_job(out: Path, refs: list[jobs.WeightsRef], interactive: bool = False) -> jobs.SpeakJob:
    return jobs.SpeakJob(
        training.target(),
        training.LORA,
        refs,
        [] if interactive else LINES,
        2.0,
        training.DECODING,
        None,
        str(out),
        interactive,
    )


@pytest.mark.slow
def test_stdout_carries_nothing_but_events_although_upstream_prints(trained: Path, tmp_path: Path) -> None:
    job = speak_job(tmp_path / "speech", weights(trained)[:1])
    digest.write_json(tmp_path / "job.json", {"verb": "speak", "job": records.to_json(job)})
    command = [sys.executable, "-m", "voicelathe.worker", str(tmp_path / "job.json")]
    ended = subprocess.run(command, capture_output=True, check=True)
    events = [jobs.decode(line) for line in ended.stdout.splitlines()]
    assert events[-1].kind == jobs.DONE and {event.kind for event in events} <= {
        jobs.PHASE,
        jobs.PROGRESS,
        jobs.DONE,
    }
    assert b"Running on device" in ended.stderr, "upstream's print, which went elsewhere"


@pytest.mark.slow
def test_validating_twice_gives_identical_bytes_and_computes_once(trained: Path, tmp_path: Path) -> None:
    refs = weights(trained)
    assert runner.run(validate_job(trained, tmp_path / "a", refs), "test")["computed"] == 3
    assert runner.run(validate_job(trained, tmp_path / "a", refs), "test")["computed"] == 0
    runner.run(validate_job(trained, tmp_path / "b", refs), "test")
    for ref in refs:
        name = f"{ref.candidate.name}.json"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.slow
def test_candidates_differ_from_the_base_and_from_each_other_and_the_base_is_untouched(
    trained: Path, tmp_path: Path
) -> None:
    refs = weights(trained)
    runner.run(validate_job(trained, tmp_path / "mixed", [refs[1], refs[0], refs[2]]), "test")
    alone = validate_job(trained, tmp_path / "alone", refs[:1])
    runner.run(replace(alone, lora=None), "test")
    losses = {
        ref.candidate.name: digest.read_json(tmp_path / "mixed" / f"{ref.candidate.name}.json")["clips"]
        for ref in refs
    }
    assert losses["base"] == digest.read_json(tmp_path / "alone" / "base.json")["clips"]
    assert losses["step_0000002@1"] != losses["base"] != losses["step_0000004@1"] != losses["step_0000002@1"]


@pytest.mark.slow
def test_a_vanishing_adapter_strength_approaches_the_base(trained: Path, tmp_path: Path) -> None:
    distance = []
    for scale in (1.0, 0.1, 0.001):
        refs = weights(trained, scale)
        runner.run(validate_job(trained, tmp_path / str(scale), [refs[0], refs[2]]), "test")
        base, tuned = (
            digest.read_json(tmp_path / str(scale) / f"{ref.candidate.name}.json")["clips"]
            for ref in (refs[0], refs[2])
        )
        distance.append(max(abs(base[clip]["diff"] - tuned[clip]["diff"]) for clip in base))
    assert distance[0] > distance[1] > distance[2] and distance[2] < 0.01 * distance[0]


@pytest.mark.slow
def test_every_candidate_speaks_every_line_and_the_same_request_is_not_spoken_twice(
    trained: Path, tmp_path: Path
) -> None:
    job = speak_job(tmp_path / "speech", weights(trained))
    assert runner.run(job, "test")["spoken"] == 6
    samples = [
        records.from_json(records.SampleRecord, digest.read_json(path)["sample"], str(path))
        for path in sorted((tmp_path / "speech").glob("*/*.json"))
    ]
    assert len(samples) == 6 and all(
        digest.of_file(Path(sample.path or "")) == sample.sha256 for sample in samples
    )
    assert runner.run(job, "test")["spoken"] == 0
    Path(samples[0].path or "").unlink()
    assert runner.run(job, "test")["spoken"] == 1, "sample by sample"


@pytest.mark.slow
def test_what_an_untouched_base_says_lies_where_other_recipes_find_it(trained: Path, tmp_path: Path) -> None:
    first = replace(speak_job(tmp_path / "one", weights(trained)), shared=str(tmp_path / "shared"))
    assert runner.run(first, "test")["spoken"] == 6
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["base"]
    assert "base" not in {path.name for path in (tmp_path / "one").iterdir()}
    assert runner.run(replace(first, out=str(tmp_path / "other")), "test")["spoken"] == 4, (
        "the base's two are there"
    )


@pytest.mark.slow
def test_the_same_line_and_seed_give_the_same_audio_and_another_seed_does_not(
    trained: Path, tmp_path: Path
) -> None:
    with runner.Speaker(speak_job(tmp_path / "x", weights(trained)[1:2], interactive=True)) as speaker:

        def say(seed: int, name: str, scale: float | None = None) -> str | None:
            return speaker.say(
                jobs.SpeakRequest(
                    "r", "The lamp is on.", "en", seed, scale, 2.0, None, str(tmp_path / name), None, None
                )
            ).sha256

        first = say(1, "a.wav")
        assert say(1, "b.wav") == first
        assert say(2, "c.wav") != first
        assert say(1, "d.wav", scale=0.1) != first
        assert say(1, "e.wav") == first


@pytest.mark.slow
def test_an_adapter_is_swapped_for_another_without_loading_the_base_again(
    trained: Path, tmp_path: Path
) -> None:
    first, second = weights(trained)[1:3]

    def say(speaker: runner.Speaker, ref: jobs.WeightsRef | None) -> str | None:
        asked = jobs.SpeakRequest(
            "r", "The lamp is on.", "en", 1, None, 2.0, None, str(tmp_path / "a.wav"), ref, None
        )
        return speaker.say(asked).sha256

    with runner.Speaker(speak_job(tmp_path / "x", [first], interactive=True)) as speaker:
        own, other, again = say(speaker, None), say(speaker, second), say(speaker, None)
    with runner.Speaker(speak_job(tmp_path / "y", [second], interactive=True)) as speaker:
        assert say(speaker, None) == other != own == again


@pytest.mark.slow
def test_a_refused_request_does_not_end_the_speaker(trained: Path, tmp_path: Path) -> None:
    with runner.Speaker(speak_job(tmp_path / "x", weights(trained)[:1], interactive=True)) as speaker:
        with pytest.raises(WorkerError):
            speaker.say(
                jobs.SpeakRequest("r", "x", "en", 1, None, 2.0, None, "/proc/nowhere/x.wav", None, None)
            )
        assert speaker.say(
            jobs.SpeakRequest("r", "The lamp.", "en", 1, None, 2.0, None, str(tmp_path / "x.wav"), None, None)
        ).sha256


@pytest.mark.slow
def test_a_refused_request_leaves_the_strength_and_the_weights_as_they_were(
    trained: Path, tmp_path: Path
) -> None:
    refs = weights(trained)
    with runner.Speaker(speak_job(tmp_path / "x", refs[1:2], interactive=True)) as speaker:

        def say(out: Path, scale: float | None = None, ref: jobs.WeightsRef | None = None) -> str | None:
            return speaker.say(
                jobs.SpeakRequest("r", "The lamp is on.", "en", 1, scale, 2.0, None, str(out), ref, None)
            ).sha256

        first = say(tmp_path / "a.wav")
        with pytest.raises(WorkerError):
            say(Path("/proc/nowhere/x.wav"), scale=0.1)
        assert say(tmp_path / "b.wav") == first
        other = say(tmp_path / "c.wav", ref=refs[2])
        with pytest.raises(CheckpointError):
            say(tmp_path / "d.wav", ref=replace(refs[1], sha256="0" * 64))
        assert say(tmp_path / "e.wav", ref=refs[2]) == other != first


@pytest.mark.slow
def test_weights_that_were_changed_are_refused_by_name(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    adapter = tmp_path / "run" / "step_0000004" / "lora_weights.safetensors"
    data = bytearray(adapter.read_bytes())
    data[-3] ^= 4
    adapter.write_bytes(data)
    refs = [replace(ref, path=ref.path.replace(str(trained), str(tmp_path))) for ref in weights(trained)[2:]]
    with pytest.raises(CheckpointError, match=r"step_0000004/lora_weights\.safetensors: sha256 is"):
        runner.run(validate_job(trained, tmp_path / "out", refs), "test")


@pytest.mark.slow
def test_a_checkpoint_that_is_gone_is_named(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    refs = [replace(ref, path=ref.path.replace(str(trained), str(tmp_path))) for ref in weights(trained)]
    shutil.rmtree(refs[2].path)
    with pytest.raises(CheckpointError, match="step_0000004 is gone or was never finished"):
        runner.run(validate_job(trained, tmp_path / "out", refs), "test")


@pytest.mark.slow
def test_weights_that_are_not_numbers_are_named_and_finished_candidates_are_kept(
    trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    broken = tmp_path / "run" / "step_0000004"
    adapter = broken / "lora_weights.safetensors"
    state = load_file(adapter)
    save_file({name: tensor * float("nan") for name, tensor in state.items()}, adapter)
    manifest = digest.read_json(broken / checkpoints.MANIFEST)
    manifest["files"][adapter.name] |= {"sha256": digest.of_file(adapter), "bytes": adapter.stat().st_size}
    digest.write_json(broken / checkpoints.MANIFEST, manifest)
    bad = replace(weights(trained)[2], path=str(broken), sha256=checkpoints.identity(broken))
    job = validate_job(trained, tmp_path / "out", [base(), bad])
    with pytest.raises(
        CheckpointError, match=r"step_0000004@1: the validation loss of clip \S+ is not finite"
    ):
        runner.run(job, "test")
    assert runner.run(replace(job, weights=[base()]), "test")["computed"] == 0


def test_a_base_with_one_changed_byte_is_refused_before_it_is_loaded(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(training.BASE, tmp_path / "base")
    config = tmp_path / "base" / "config.json"
    config.write_text(config.read_text() + "\n")
    job = validate_job(corpus, tmp_path / "out", [base()])
    with pytest.raises(BaseModelError, match="not the base that was pinned"):
        runner.run(replace(job, target=replace(job.target, base=str(tmp_path / "base"))), "test")


@pytest.mark.slow
def test_a_second_trainer_of_one_run_is_refused(trained: Path, tmp_path: Path) -> None:
    job = training.train_job(trained, tmp_path / "run", training.train_settings("lora", steps=300, every=300))
    digest.write_json(tmp_path / "job.json", {"verb": "train", "job": records.to_json(job)})
    first = subprocess.Popen(
        [sys.executable, "-m", "voicelathe.worker", "job.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert first.stdout is not None
    try:
        for line in first.stdout:
            if jobs.decode(line).values.get("step") == 1:
                break
        with pytest.raises(RunLocked, match=f"by process {first.pid}"):
            runner.run(job, "test")
    finally:
        first.kill()
        first.wait()


@pytest.mark.slow
def test_a_worker_dies_with_the_process_that_started_it(trained: Path, tmp_path: Path) -> None:
    job = training.train_job(
        trained, tmp_path / "run", training.train_settings("lora", steps=3000, every=3000)
    )
    digest.write_json(tmp_path / "job.json", {"verb": "train", "job": records.to_json(job)})
    script = (
        "import json, sys; from voicelathe.process import jobs, runner; from voicelathe import records\n"
        "runner.run(records.from_json(jobs.TrainJob, json.load(open('job.json'))['job'], ''), 'test')"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    lock = tmp_path / "run" / ".lock"
    wait_until(
        lambda: (
            lock.is_file() and lock.read_text().strip() != "" and (tmp_path / "run" / "steps.jsonl").is_file()
        )
    )
    worker = int(lock.read_text())
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_alive(worker))
    assert list((tmp_path / "run").glob("state_*")), "a worker that loses its parent saves before it leaves"


@pytest.mark.slow
def test_a_killed_worker_is_diagnosed_and_the_next_step_is_named(trained: Path, tmp_path: Path) -> None:
    job = training.train_job(
        trained, tmp_path / "run", training.train_settings("lora", steps=3000, every=3000)
    )
    digest.write_json(tmp_path / "job.json", {"verb": "train", "job": records.to_json(job)})
    script = (
        "import json, sys; from voicelathe.process import jobs, runner; from voicelathe import records\n"
        "runner.run(records.from_json(jobs.TrainJob, json.load(open('job.json'))['job'], ''), 'test')"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    lock = tmp_path / "run" / ".lock"
    wait_until(
        lambda: (
            lock.is_file() and lock.read_text().strip() != "" and (tmp_path / "run" / "steps.jsonl").is_file()
        )
    )
    os.kill(int(lock.read_text()), signal.SIGKILL)
    _, said = parent.communicate()
    assert b"was killed (SIGKILL) in phase" in said and b"run the same command again" in said


def wait_until(true: object, patience_s: float = 90.0) -> None:
    assert callable(true)
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_clip_longer_than_the_base_can_take_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    from voicelathe.worker import encode

    clips = [training.clip(1), replace(training.clip(2), end_s=102.0)]
    records.write(tmp_path / "train.jsonl", clips)
    job = jobs.EncodeJob(
        training.target(), {"train": str(tmp_path / "train.jsonl")}, "nowhere", str(tmp_path / "cache"), str(tmp_path / "out"), rows.SERIAL
    )  # fmt: skip
    with pytest.raises(
        ManifestError, match=r"voxcpm2 takes clips of up to 81\.9 s:\n  clip train0002 .*: 100\.0 s"
    ):
        encode.run(job, lambda kind, values: None)


def test_the_job_file_says_everything_and_nothing_else(tmp_path: Path) -> None:
    job = training.train_job(tmp_path, tmp_path / "run", training.train_settings("full"))
    again = records.from_json(jobs.TrainJob, json.loads(digest.canonical_json(records.to_json(job))), "job")
    assert again == job
