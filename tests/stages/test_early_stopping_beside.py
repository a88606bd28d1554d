"""Early stopping with the real workers: a run trains, its checkpoints are judged beside it, and somebody kills the judge."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import training
from tests.factories.evaluations import base_facts
from voicelathe import digest, families, layout, records
from voicelathe.config import params, schema
from voicelathe.data import tables
from voicelathe.data.audio import files
from voicelathe.records import EarlyStop
from voicelathe.runs import early_stopping, identity
from voicelathe.stages import encode, train
from voicelathe.stages.early_stopping import beside

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "data/bases/voxcpm2-mini"
NUM_TRAIN, NUM_HELD_OUT = 4, 4
AUDIO = ROOT / "data/demo/audio"
SPOKEN = [  # a voice is needed: how much like it a checkpoint sounds is half of what it is judged by
    ("rec_23.opus", 7.06, 10.05, "I think the horse should stay across the attic."),
    ("rec_03.opus", 49.11, 51.77, "Did Thomas really watch the dusty watch?"),
    ("rec_19.opus", 27.96, 30.42, "A famous pigeon ran near the white bottle."),
    ("rec_24.opus", 0.38, 3.25, "The eagle and the pig slept under the square."),
    ("rec_33.opus", 40.73, 43.59, "Let us open the vase and eat some sausage."),
    ("rec_06.opus", 24.43, 26.98, "There was a crimson mouse beside the island."),
    ("rec_34.opus", 42.47, 45.02, "There was a square bear beyond the cellar."),
    ("rec_31.opus", 18.76, 21.24, "We studied the simple map in the autumn."),
    ("rec_14.opus", 17.84, 20.61, "A curious owl ran around the black bell."),
]


def settings(path: Path = EMBEDDED) -> schema.Params:
    """Four checkpoints of which nothing improves: a learning rate that moves no digit that counts."""
    known = params.load(ROOT / "params.yaml")
    facts = families.find("voxcpm2").describe(path, "Apache-2.0", False)
    one = known.recipes["mini-lora"]
    wanted = replace(
        training.train_settings(steps=4, every=1),
        learning_rate=1e-9,
        probe_every=4,
        early_stopping=schema.EarlyStopping(patience=1, lines=4),
    )
    base = schema.Base("voxcpm2", str(path), facts.digest, "Apache-2.0", False)
    return replace(
        known,
        ingest=replace(known.ingest, audio_root=str(AUDIO)),
        bases={one.base: base},
        recipes={"mini-lora": replace(one, train=wanted)},
    )


def clip(number: int) -> records.CleanClip:
    name, start_s, end_s, text = SPOKEN[number]
    return records.CleanClip(
        clip_id=f"c{number}", audio=name, start_s=start_s, end_s=end_s, text=text, recording_id=name,
        speaker_id="lark", language="en", audio_sha256=files.hash_file(AUDIO, name), samples_sha256=digest.of_value(number),
        duration_s=round(end_s - start_s, 6), ref_audio=None,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    clips = [clip(number) for number in range(NUM_TRAIN + NUM_HELD_OUT + 1)]
    first, last = clips[:NUM_TRAIN], clips[NUM_TRAIN:-1]
    for split, members in (("train", first), ("validation", last), ("test", clips[-1:])):
        records.write(layout.split(split), members)
    tables.write(
        layout.ASSIGNMENTS,
        [records.SplitAssignment(one.recording_id, one.recording_id, "train", 1, 1.0) for one in clips],
    )
    known = settings()
    encode.encode(known, next(iter(known.bases)))
    return tmp_path


def kill_one(verb: str, over: threading.Event) -> None:
    """SIGKILL to the first worker of this process that does this."""
    while not over.wait(0.05):
        for task in Path("/proc/self/task").iterdir():
            for pid in (task / "children").read_text().split():
                try:
                    said = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
                except OSError:
                    continue
                if f"early_stopping-{verb}-" in said:
                    os.kill(int(pid), signal.SIGKILL)
                    return


def test_a_run_of_which_nothing_improves_ends_early_although_its_judge_is_killed_and_is_found_again(
    project: Path,
) -> None:
    known = settings()
    run = identity.identify(known, "mini-lora", 1)
    over = threading.Event()
    killer = threading.Thread(target=kill_one, args=("speak", over))
    killer.start()
    try:
        finished, index = train.train(known, run)
    finally:
        over.set()
        killer.join()
    assert finished.stopped_early == EarlyStop(step=3, steps=4, since=1, patience=1)
    assert [one.step for one in index] == [0, 1, 2, 3] and finished.num_steps == 3
    directory = Path(run.directory)
    checks = [early_stopping.found(directory, step, run.run_digest) for step in (1, 2)]
    assert [one and (one.stale, len(one.speech)) for one in checks] == [(0, 4), (1, 4)]
    assert not early_stopping.place(directory, 3).exists()
    before = digest.of_tree(directory)
    again = train.train(known, identity.identify(known, "mini-lora", 1))
    assert again == (finished, index) and digest.of_tree(directory) == before
    told = records.to_json(finished)
    assert records.from_json(records.RunRecord, told, "run.json") == finished
    assert "stopped_early" not in records.to_json(replace(finished, stopped_early=None))


def test_what_cannot_be_judged_twice_is_written_down_with_the_cause_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = settings(training.BASE)
    name, base = next(iter(known.bases.items()))
    training.corpus(tmp_path)
    for split in ("train", "validation"):
        layout.split(split).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{split}.jsonl").rename(layout.split(split))
    layout.latents(name).parent.mkdir(parents=True)
    (tmp_path / "latents").rename(layout.latents(name))
    facts = replace(base_facts(), family="voxcpm2", digest=base.digest)
    digest.write_json(layout.latents(name) / "base.json", records.to_json(facts))
    run = identity.identify(known, "mini-lora", 1)
    directory = Path(run.directory)
    digest.write_json(early_stopping.weights(directory, 1) / "MANIFEST.json", {"files": {"lost.bin": {}}})
    failed = directory / early_stopping.FOLDER / early_stopping.FAILED
    digest.write_json(failed, {"message": "of a call before"})
    with beside.judged(known, run):
        assert not failed.exists(), "whoever starts judging forgets why it ended before"
        while not failed.is_file():
            time.sleep(0.05)
    said = digest.read_json(failed)["message"]
    assert "the checkpoint of step 1 could not be judged, 2 times" in said and "lost.bin is missing" in said
    assert "run the same command again" in said and "recipes.mini-lora.train.early_stopping: null" in said
    assert early_stopping.found(directory, 1, run.run_digest) is None
