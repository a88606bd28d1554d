"""Which candidate sounds best, judged without knowing which is which? One HTML file that plays, asks, reveals and exports.

The page works from disk and inside MLflow's artifact frame: audio lies inside it, nothing is fetched. Who is heard against whom
is fixed by `design`; the exported file is read by `verdicts`. What a script may not do in a frame (storage, downloads) is offered
in another way on the page.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from voicelathe.evaluate import design, evidence, pages, sound, verdicts
from voicelathe.records import NOT_SPOKEN, RunRecord, SampleRecord

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
DEFECT_LABELS = {
    "truncated": "cut off",
    "noise": "noise or artefacts",
    "wrong_word": "wrong word",
    "wrong_accent": "wrong accent",
    "wrong_speaker": "wrong speaker",
}


def render(
    recipe: str, run: RunRecord, samples: Sequence[SampleRecord], root: Path, *, base_trained: bool
) -> str:
    """The page for all samples of a recipe; equal samples give equal bytes. Under 15 MB for twelve candidates and eight lines.

    Raises RecordError when the file of a sample is missing or is not the one that was spoken.
    """
    heard = [one for one in samples if design.is_hearable(one)]
    sounds = [sound.load(one, root) for one in heard]
    nothing_spoken = all(one.problem == NOT_SPOKEN for one in samples)
    page = _page(recipe, run, samples, _gains(heard, sounds), base_trained)
    return pages.build(
        "listening.html",
        STYLES,
        [] if nothing_spoken else SCRIPTS,
        recipe=recipe,
        nothing_spoken=nothing_spoken,
        base_trained=base_trained,
        num_lines=len({(one.line_id, one.seed) for one in samples}),
        page=Markup(pages.data_block(page)),
        audio=[(one.mime, pages.base64_text(one.data)) for one in sound.encode(sounds)],
    )


def _page(
    recipe: str,
    run: RunRecord,
    samples: Sequence[SampleRecord],
    gains_db: Sequence[float],
    base_trained: bool,
) -> dict[str, Any]:
    """What the scripts read. Candidates are numbers; their names are not readable at a glance before the reveal."""
    heard = [one for one in samples if design.is_hearable(one)]
    known = {one.candidate: (one.step, one.lora_scale) for one in samples}
    names = sorted(known, key=lambda name: (known[name][0], known[name][1] or 0.0, name))
    labels = [[name, design.label(*known[name], prompted=name == evidence.ZERO_SHOT)] for name in names]
    return {
        "format": verdicts.FORMAT,
        "recipe": recipe,
        "run_digest": run.run_digest,
        "sweep": design.sweep_digest(run.run_digest, samples),
        "base_trained": base_trained,
        "names": pages.base64_text(pages.data_block(labels).encode()),
        "lines": {one.line_id: one.text for one in samples},
        "defects": [[code, DEFECT_LABELS[code]] for code in verdicts.DEFECTS],
        "clips": [
            _clip(one, names, gain, place)
            for place, (one, gain) in enumerate(zip(heard, gains_db, strict=True))
        ],
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


def _gains(heard: Sequence[SampleRecord], sounds: Sequence[sound.Sound]) -> list[float]:
    """Loudness is matched within a line and seed, because only those are compared."""
    gains = [0.0] * len(heard)
    for place in sorted({(one.line_id, one.seed) for one in heard}):
        members = [number for number, one in enumerate(heard) if (one.line_id, one.seed) == place]
        for number, gain in zip(
            members, sound.matched_gains_db([sounds[number] for number in members]), strict=True
        ):
            gains[number] = gain
    return gains


def _clip(one: SampleRecord, names: Sequence[str], gain_db: float, place: int) -> dict[str, Any]:
    return {
        "audio": place,
        "candidate": names.index(one.candidate),
        "line": one.line_id,
        "seed": one.seed,
        "gain_db": gain_db,
        "seconds": round(one.duration_s, 3),
        "stopped": one.stopped,
    }


def _trials(
    mode: str, heard: Sequence[SampleRecord], samples: Sequence[SampleRecord], seed: int
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
