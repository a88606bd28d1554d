"""Which candidate sounds best, judged without knowing which is which? One HTML file that plays, asks, reveals and exports.

The page works from disk and inside MLflow's artifact frame: audio lies inside it, nothing is fetched. Who is heard against whom
is fixed by `design`; the exported file is read by `verdicts`. What a script may not do in a frame (storage, downloads) is offered
in another way on the page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from voicelathe import layout, records
from voicelathe.evaluate import evidence
from voicelathe.evaluate.listening import design, sound, verdicts
from voicelathe.evaluate.report import templates
from voicelathe.records import HELD_OUT, NOT_SPOKEN, REAL, CleanClip, RunRecord, SampleRecord

STYLES = ["common.css", "listening.css"]
SCRIPTS = [
    "listening/open.js",
    "listening/digest.js",
    "listening/player.js",
    "listening/picture.js",
    "listening/session.js",
    "listening/cards.js",
    "listening/results.js",
    "listening/screens.js",
    "listening/close.js",
]
REAL_LABEL = "real recording"
DEFECT_LABELS = {
    "truncated": "cut off",
    "noise": "noise or artefacts",
    "wrong_word": "wrong word",
    "wrong_accent": "wrong accent",
    "wrong_speaker": "wrong speaker",
}


@dataclass(frozen=True)
class _Heard:
    """What can be played: a sample, or the real recording of a line under one of its seeds."""

    candidate: str
    line_id: str
    seed: int
    audio: int  # place of its sound in the page
    seconds: float
    stopped: bool


def recordings(
    samples: Sequence[SampleRecord], audio_root: str, root: Path = Path()
) -> dict[str, sound.DecodedSample]:
    """Line -> what the speaker really said, for the lines of the sweep that are clips of the validation split of the project `root`.

    Raises RecordError or ManifestError when a recording cannot be read or is not the one that was split.
    """
    lines = sorted({line for line, _ in design.recorded(samples)})
    clips = (
        {one.clip_id: one for one in records.read(root / layout.split("validation"), CleanClip)}
        if lines
        else {}
    )
    return {
        line: sound.recording(clips[line.removeprefix(HELD_OUT)], str(root / audio_root)) for line in lines
    }


def render(
    recipe: str,
    run: RunRecord,
    samples: Sequence[SampleRecord],
    root: Path,
    *,
    base_trained: bool,
    real: Mapping[str, sound.DecodedSample] | None = None,
) -> str:
    """The page for all samples of a recipe; equal samples give equal bytes. Under 15 MB for twelve candidates and eight lines.

    `real`: what `recordings` gave. Raises RecordError when the file of a sample is missing or is not the one that was spoken.
    """
    sweep, samples = design.sweep_digest(run.run_digest, samples), design.played(samples, run.identity.seed)
    lines = {line for line, _ in design.recorded(samples)}
    real = {line: heard for line, heard in (real or {}).items() if line in lines}
    sounds = [sound.load(one, root) for one in samples if design.is_hearable(one)] + list(real.values())
    heard = _heard(samples, real)
    nothing_spoken = all(one.problem == NOT_SPOKEN for one in samples)
    page = _page(recipe, run, sweep, samples, heard, _gains(heard, sounds), base_trained)
    return templates.build(
        "listening.html",
        STYLES,
        [] if nothing_spoken else SCRIPTS,
        recipe=recipe,
        nothing_spoken=nothing_spoken,
        has_recordings=bool(real),
        base_trained=base_trained,
        num_lines=len({(one.line_id, one.seed) for one in samples}),
        page=Markup(templates.data_block(page)),
        audio=[(one.mime, templates.base64_text(one.data)) for one in sound.encode(sounds)],
    )


def _heard(samples: Sequence[SampleRecord], real: Mapping[str, sound.DecodedSample]) -> list[_Heard]:
    spoken = [one for one in samples if design.is_hearable(one)]
    places = {line: len(spoken) + number for number, line in enumerate(real)}
    return [
        _Heard(one.candidate, one.line_id, one.seed, place, one.duration_s, one.stopped)
        for place, one in enumerate(spoken)
    ] + [
        _Heard(REAL, line, seed, places[line], real[line].duration_s, True)
        for line, seed in design.recorded(samples)
    ]


def _page(
    recipe: str,
    run: RunRecord,
    sweep: str,
    samples: Sequence[SampleRecord],
    heard: Sequence[_Heard],
    gains_db: Sequence[float],
    base_trained: bool,
) -> dict[str, Any]:
    """What the scripts read. Candidates are numbers; their names are not readable at a glance before the reveal."""
    known = {one.candidate: (one.step, one.lora_scale) for one in samples}
    names = sorted(known, key=lambda name: (known[name][0], known[name][1] or 0.0, name))
    labels = [[name, design.label(*known[name], prompted=name == evidence.ZERO_SHOT)] for name in names]
    if any(one.candidate == REAL for one in heard):
        names.append(REAL)
        labels.append([REAL, REAL_LABEL])
    return {
        "format": verdicts.FORMAT,
        "recipe": recipe,
        "run_digest": run.run_digest,
        "sweep": sweep,
        "base_trained": base_trained,
        "names": templates.base64_text(templates.data_block(labels).encode()),
        "lines": {one.line_id: one.text for one in samples},
        "defects": [[code, DEFECT_LABELS[code]] for code in verdicts.DEFECTS],
        "clips": [_clip(one, names, gain) for one, gain in zip(heard, gains_db, strict=True)],
        "failed": [
            {
                "candidate": names.index(one.candidate),
                "line": one.line_id,
                "seed": one.seed,
                "problem": one.problem,
            }
            for one in samples
            if not design.is_hearable(one)
        ],
        "trials": {mode: _trials(mode, heard, samples, run.identity.seed) for mode in design.MODES},
    }


def _gains(heard: Sequence[_Heard], sounds: Sequence[sound.DecodedSample]) -> list[float]:
    """Loudness is matched within a line and seed, because only those are compared."""
    gains = [0.0] * len(heard)
    for place in sorted({(one.line_id, one.seed) for one in heard}):
        members = [number for number, one in enumerate(heard) if (one.line_id, one.seed) == place]
        for number, gain in zip(
            members, sound.matched_gains_db([sounds[heard[number].audio] for number in members]), strict=True
        ):
            gains[number] = gain
    return gains


def _clip(one: _Heard, names: Sequence[str], gain_db: float) -> dict[str, Any]:
    return {
        "audio": one.audio,
        "candidate": names.index(one.candidate),
        "line": one.line_id,
        "seed": one.seed,
        "gain_db": gain_db,
        "seconds": round(one.seconds, 3),
        "stopped": one.stopped,
    }


def _trials(
    mode: str, heard: Sequence[_Heard], samples: Sequence[SampleRecord], seed: int
) -> list[dict[str, Any]]:
    """The design with clips (places in `heard`) instead of names."""
    places = {(one.candidate, one.line_id, one.seed): number for number, one in enumerate(heard)}
    return [
        {
            "trial": trial.trial,
            "line": trial.line_id,
            "seed": trial.seed,
            "repeats": trial.repeats,
            "clips": [places[name, trial.line_id, trial.seed] for name in trial.candidates],
        }
        for trial in design.trials(mode, samples, seed)
    ]
