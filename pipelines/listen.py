"""Stage `listen`: candidates speak the same lines with the same seeds and are heard; who cannot win drops out. A page to hear them blind."""

import sys
from pathlib import Path

from pipelines import run
from voicelathe import digest, layout, records
from voicelathe.config import params
from voicelathe.evaluate.listening import page as listening
from voicelathe.runs import identity, results
from voicelathe.speech import recogniser_files
from voicelathe.stages import listen

REVISION = 16
OF_RUN = [f"runs/${{key}}/{name}" for name in ("run.json", "checkpoints.json", "evaluations.jsonl")]
SPLITS = ["data/split/train.jsonl", "data/split/validation.jsonl"]
READS = ["pipelines/listen.py", "lines", "data/latents/${item.base}/base.json", *SPLITS, *OF_RUN]
LEFT = ("samples.jsonl", "race.json", "metrics.json", "listening.html")
WRITES = [f"runs/${{key}}/{name}" for name in LEFT]
HEARD = ("evaluate.reference", "evaluate.zero_shot")
PARTS = ("listen", "speak", "select.guards", "select.vetoes", "select.max_vetoed_share")
OWN = [f"recipes.${{key}}.{name}" for name in (*HEARD, *PARTS)]
PARAMS = ["machine", "speech", "lexicon", "ingest.audio_root", "gate.max_text_overlap", *OWN]


def main() -> None:
    recipe, settings = sys.argv[1], params.load()
    executed, _ = results.read(recipe)
    ears = recogniser_files.reference(settings.speech, settings.machine)
    spoken = listen.run(settings, recipe, listen.spoken_lines(settings, recipe), ears)
    records.write(layout.run(recipe, "samples.jsonl"), spoken.samples)
    digest.write_json(layout.run(recipe, "race.json"), records.to_json(spoken.race))
    digest.write_json(layout.run(recipe, "metrics.json"), records.to_json(spoken.measures))
    trained = identity.base_facts(settings, executed.identity.base).trained
    real = listening.recordings(spoken.samples, settings.ingest.audio_root)
    page = listening.render(recipe, executed, spoken.samples, Path.cwd(), base_trained=trained, real=real)
    digest.write_text(layout.run(recipe, "listening.html"), page)


if __name__ == "__main__":
    run(main)
