"""One offline page over several recipes: what to do next, the figures it rests on, and the samples to hear beside each other."""

from collections.abc import Sequence
from pathlib import Path

from voicelathe.evaluate import guards
from voicelathe.evaluate.compare import comparing, replicates
from voicelathe.evaluate.compare.comparing import Outcome
from voicelathe.evaluate.listening import design, sound
from voicelathe.evaluate.report import charts, templates, wording

DECISIONS = [  # docs/choosing.md has the same rows
    (
        "new data, or unsure that it is clean",
        "LoRA, or a short smoke test",
        "the adapter improves but cannot lock identity; never before clean-up",
    ),
    ("a deployable voice soon", "LoRA", "long form or accent is not good enough"),
    (
        "a brand voice over hundreds of lines",
        "LoRA preflight, then full SFT",
        "LoRA proved the data clean but under-adapts",
    ),
    ("only a short reference clip", "zero-shot or LoRA", "full SFT needs labelled rows, not a longer prompt"),
    ("small artefacts, fast A/B", "LoRA", "the adapter's limit is audible"),
    (
        "the model's default identity must change",
        "full SFT",
        "only after LoRA and validation earned the trust",
    ),
]
COLUMNS = [
    "recipe", "mode", "base", "decision", "shown", "likeness against the base", "likeness", "likeness of the base", "words kept", "words kept by the base", "lowest loss against the base", "another text", "other speakers",
    "runs on", "one checkpoint", "all checkpoints", "training",
]  # fmt: skip


def render(outcomes: Sequence[Outcome], root: Path) -> str:
    """The page; equal files give equal bytes. Raises RecordError when a sample is missing or another than listed."""
    heard = [(one, sample) for one in outcomes for sample in one.samples if design.is_hearable(sample)]
    audio = sound.encode([sound.load(sample, root) for _, sample in heard])
    places = {(one.recipe, s.candidate, s.line_id, s.seed): at for at, (one, s) in enumerate(heard)}
    lines = sorted({(s.line_id, s.seed, s.text) for one in outcomes for s in one.samples})
    return templates.build(
        "comparison.html",
        ["common.css", "report.css"],
        ["report.js"],
        conclusions=comparing.conclusions(outcomes, root),
        decisions=DECISIONS,
        columns=COLUMNS,
        rows=[cells(one) for one in outcomes],
        charts=_charts(outcomes),
        replicate_columns=replicates.COLUMNS,
        replicates=[
            (replicates.title(members), replicates.cells(members), replicates.conclusions(members))
            for members in comparing.trainings(outcomes, root).values()
            if len(members) > 1
        ],
        lines=lines,
        samples=[
            (
                f"{one.recipe}: {wording.spoken(one.selection, name)}",
                [places.get((one.recipe, name, line, seed)) for line, seed, _ in lines],
            )
            for one in outcomes
            for name in dict.fromkeys(sample.candidate for sample in one.samples)
        ],
        untrained=any(not one.selection.base_trained for one in outcomes),
        audio=[(one.mime, templates.base64_text(one.data)) for one in audio],
    )


def cells(one: Outcome) -> list[str]:
    """One row of the table, in the order of COLUMNS."""
    best, probe = one.selection.best_against_base, one.probe
    return [
        one.recipe,
        one.mode,
        f"{one.run.identity.base} ({one.run.identity.family})",
        one.selection.decision.replace("_", " "),
        wording.spoken(one.selection, one.shown),
        _gain(one),
        *map(_number, (one.likeness, one.base_likeness, one.words, one.base_words)),
        f"{best.difference:+.4f}".replace("-", "\u2212"),
        _share(probe.text_gap if probe else None),
        _share(probe.forgetting if probe else None),
        "\u2013" if probe is None else f"{probe.runs_on_share:.0%}",
        _size(one.checkpoint_bytes),
        _size(one.disk_bytes),
        "\u2013" if one.seconds is None else f"{one.seconds:.0f} s" if one.seconds < 600 else f"{one.seconds / 3600:.1f} h",
    ]  # fmt: skip


def _gain(one: Outcome) -> str:
    """How much nearer to the speaker the shown candidate is, and whether that is shown."""
    gain = next((row.gain for row in one.selection.evidence if row.candidate == one.shown), None)
    if gain is None:
        return "\u2013"
    return f"{gain.difference:+.3f}".replace("-", "\u2212") + (
        "" if guards.is_nearer(gain) else " (not shown)"
    )


def _charts(outcomes: Sequence[Outcome]) -> list[tuple[list[str], object]]:
    """One chart for each group of comparable losses: totals at LoRA scale 1 over the share of the run."""
    drawn: list[tuple[list[str], object]] = []
    for group in dict.fromkeys(one.group for one in outcomes):
        members = [one for one in outcomes if one.group == group]
        lines = []
        for number, one in enumerate(members):
            rows = sorted(
                (row for row in one.selection.ranking if row.step and row.lora_scale in (None, 1.0)),
                key=lambda row: row.step,
            )
            lines.append(
                charts.Curve(one.recipe, [(float(row.step), row.total) for row in rows], number % 8 + 1)
            )
        found = members[0].selection
        base = next(row for row in found.ranking if row.candidate == found.base)
        picture = charts.curves("Validation total", lines, (base.total, "base"))
        drawn.append(([one.recipe for one in members], picture))
    return drawn


def _number(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:+.1%}".replace("-", "\u2212")


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
