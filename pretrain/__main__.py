"""Make the embedded base, one short part after the other: `python -m pretrain [STATE]`. See pretrain/README.md.

Each call does what comes next and ends after about `--minutes` of CPU time: the corpus, its latents, then the encoder and the language
model in turns. It says "finished" when nothing is left; killed at any moment, the next call goes on from the last save.
"""

import argparse
from pathlib import Path

import torch

from pretrain import corpus, encoder, latents, speech

parser = argparse.ArgumentParser(prog="python -m pretrain", description=(__doc__ or "").splitlines()[0])
parser.add_argument("state", nargs="?", type=Path, default=corpus.STATE)
parser.add_argument("--minutes", type=float, default=8.0, help="CPU time of this call in training")
parser.add_argument("--only", choices=["encoder", "speech"], help="train this part alone")
parser.add_argument("--steps", type=int, help="all steps of the part named by --only")
parser.add_argument(
    "--device", default="cpu", help="cpu or cuda; a training goes on where another device left it"
)


def main(state: Path, minutes: float, only: str | None, steps: int | None, device: str) -> None:
    torch.set_num_threads(1)
    state.mkdir(parents=True, exist_ok=True)
    if not (state / "corpus/clips.jsonl").is_file():
        return corpus.main(state)
    if not (state / "latents.npz").is_file():
        return latents.main(state)
    parts = {"encoder": encoder, "speech": speech}
    names = [only] if only else list(parts)
    done = [parts[one].train(state, minutes / len(names), steps or parts[one].STEPS, device) for one in names]
    print("finished" if all(done) else "call again to go on")


if __name__ == "__main__":
    chosen = parser.parse_args()
    main(chosen.state, chosen.minutes, chosen.only, chosen.steps, chosen.device)
