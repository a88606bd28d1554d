"""The training loop: the same for every family, mode and optimizer.

Steps (`stepping.update`) one after the other, from the newest saved state: journal, progress, checkpoints. Several processes (`peers`)
share the passes of a step; all of them compute the same update, and the first writes everything.
"""

import time
from typing import Any

from voicelathe import records
from voicelathe.process import jobs
from voicelathe.runs import early_stopping
from voicelathe.train import anomalies, distributed, resume, saving
from voicelathe.train.distributed import ALONE, Peers
from voicelathe.train.sharded import states
from voicelathe.train.stepping import update
from voicelathe.train.stepping.repeatable import repeatable
from voicelathe.train.stepping.trainer import Emit, Telling, Trainer, prepare

STOPPED = 143  # exit code after SIGTERM, as a shell reports it


def run(job: jobs.TrainJob, emit: Emit, peers: Peers = ALONE) -> dict[str, Any]:
    """Train to the last step, from the newest saved state if there is one. Returns counts for the run's record.

    SIGTERM to any of the processes saves at the next step boundary, and all of them exit with 143. Every progress event says how
    long this process has waited so far for its journal to be durable and for its events to be taken (`waited_s`).
    """
    stop = distributed.stop_on_sigterm()
    trainer = prepare(job, Telling(emit), peers)
    journal = resume.Journal(trainer.directory)
    done = peers.first_alone(lambda: states.restored(trainer.directory, trainer.held, trainer.optimizer))
    peers.require_same_step(done)
    if peers.is_first:
        journal.truncate(done)
        trainer.watch = anomalies.Watch(journal.read())
    trainer.model.core.train()
    saver = states.saver(job, trainer.model, trainer.held, trainer.optimizer, emit)
    try:
        with repeatable(job.train):
            stopped = _ends(trainer, done, stop) or _steps(trainer, journal, saver, done + 1, stop)
    finally:
        saver.wait()
    total = sum(parameter.numel() for parameter in trainer.model.core.parameters())
    return {
        "num_parameters": total,
        "num_trainable": sum(p.numel() for p in trainer.model.core.parameters() if p.requires_grad),
        "num_train_clips": len(trainer.clips),
        **({"stopped_early": records.to_json(stopped)} if stopped else {}),
    }


def _steps(
    trainer: Trainer,
    journal: resume.Journal,
    saver: saving.Saver | states.JointSaver,
    first: int,
    stop: distributed.Flag,
) -> records.EarlyStop | None:
    job, emit = trainer.job, trainer.emit
    for step in range(first, job.train.steps + 1):
        began = time.monotonic()
        record = update.take(trainer, step)
        seconds = time.monotonic() - began
        if trainer.peers.is_first:
            timing = records.StepTiming(step, round(seconds, 4), round(len(record.clip_ids) / seconds, 3))
            with emit.clocked():
                journal.append(record, timing)
        counted = {
            "done": step,
            "total": job.train.steps,
            "unit": "steps",
            "waited_s": round(emit.waited_s, 6),
        }
        emit(jobs.PROGRESS, counted)
        numbered = step % job.train.checkpoint_every == 0 or step == job.train.steps
        stops = trainer.peers.any(stop.is_set())
        if trainer.held.saves and (numbered or stops):
            emit(jobs.PHASE, {"name": "checkpoint", "step": step, "micro": 0})
            saver.save(step, numbered)
        if stops:
            raise SystemExit(STOPPED)
        if numbered and (stopped := _ends(trainer, step, stop)):
            return stopped
    return None


def _ends(trainer: Trainer, step: int, stop: distributed.Flag) -> records.EarlyStop | None:
    """Whether early stopping ends the run after this step, in all processes alike; the first one waits for what the step rests on.

    Asked again after a kill: whether this very step was the last may not have been known then. Who is asked to stop meanwhile does, as
    at any step: all of it is saved.
    """
    job, peers = trainer.job, trainer.peers
    if job.train.early_stopping is None or step not in job.train.checkpoint_steps:
        return None
    trainer.emit(jobs.PHASE, {"name": "checkpoint", "step": step, "micro": 0})
    asked = (trainer.directory, job.train, job.run_digest, step, stop.is_set)

    def tell(text: str) -> None:
        trainer.emit(jobs.NOTICE, {"text": text})

    found = early_stopping.ends(*asked, tell) if peers.is_first else None
    if peers.any(stop.is_set()):
        raise SystemExit(STOPPED)
    if not peers.any(found is not None):
        return None
    found = found or early_stopping.ends(*asked, tell)  # the others read what the first one found
    if found is not None:
        tell(found.told)
    return found
