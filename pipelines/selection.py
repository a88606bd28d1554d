"""Stage `select`: choose the checkpoint to ship, or say that none beats the base; one page says why."""

import sys
from pathlib import Path

from pipelines import run
from voicelathe import digest, layout, params, records, runs
from voicelathe.evaluate import losses, report, selection, verdicts

REVISION = 1
FILES = ["run.json", "steps.jsonl", "checkpoints.json", "evaluations.jsonl", "clip_losses.parquet", "samples.jsonl"]
READS = [
    "pipelines/selection.py",
    "verdicts",
    "data/latents/${item.base}/base.json",
    *(f"runs/${{key}}/{name}" for name in FILES),
]
WRITES = ["runs/${key}/selection.json", "runs/${key}/report.html"]
PARAMS = ["recipes.${key}.select"]


def main() -> None:
    recipe = sys.argv[1]
    executed, index = runs.read(recipe)
    here = {name: layout.run(recipe, name) for name in FILES}
    base, verdict = layout.latents(executed.identity.base) / "base.json", verdicts.path_of(recipe)
    read = [*here.values(), base, *([verdict] if verdict.is_file() else [])]
    samples = records.read(here["samples.jsonl"], records.SampleRecord)
    chosen = selection.decide(
        executed, records.read(here["evaluations.jsonl"], records.EvaluationRecord), losses.read(here["clip_losses.parquet"]),
        samples, verdicts.load(recipe), params.recipe(params.load(), recipe).select,
        records.read_one(base, records.BaseFacts).trained, digest.of_files({path.as_posix(): path for path in read}), index,
    )  # fmt: skip
    steps = records.read(here["steps.jsonl"], records.StepRecord)
    digest.write_json(layout.run(recipe, "selection.json"), records.to_json(chosen))
    digest.write_text(layout.run(recipe, "report.html"), report.render(executed, chosen, steps, index, samples, Path.cwd()))


if __name__ == "__main__":
    run(main)
