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
parser.add_argument("--volumes", type=int, default=corpus.VOLUMES, help="of the corpus, 2,400 clips each")
parser.add_argument("--warm", type=Path, help="a base from which both start, instead of from nothing")


def main(chosen: argparse.Namespace) -> None:
    state: Path = chosen.state
    torch.set_num_threads(1)
    state.mkdir(parents=True, exist_ok=True)
    if not all((state / f"corpus/{volume}.jsonl").is_file() for volume in range(chosen.volumes)):
        return corpus.main(state, chosen.volumes)
    if not (state / "latents.npz").is_file():
        return latents.main(state)
    names = [chosen.only] if chosen.only else ["encoder", "speech"]
    minutes, done = chosen.minutes / len(names), []
    if "encoder" in names:
        done.append(encoder.train(state, minutes, chosen.steps, chosen.device, chosen.warm))
    if "speech" in names:
        done.append(speech.train(state, minutes, chosen.steps, chosen.device, chosen.warm))
    print("finished" if all(done) else "call again to go on")


if __name__ == "__main__":
    main(parser.parse_args())
