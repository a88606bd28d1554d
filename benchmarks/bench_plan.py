"""What `voicelathe plan` predicts for configurations whose memory and disk others have published. Nothing here is fitted to them.

Usage:  python -m benchmarks.bench_plan
The rehearsal counts our trainer; what upstream's keeps on the card besides (codec, caches for generation) is added. The published
run's directory held 12 copies of fp32 weights, 8-bit moments and codec (11 numbered and `latest`). One CPU core, some minutes.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from voicelathe import records
from voicelathe.config import params, schema
from voicelathe.plan import cards, forecast

GIB, MIB = 2**30, 2**20
COPIES = 12


@dataclass(frozen=True)
class Figure:
    """A published number and ours."""

    name: str
    predicted: float
    published: float

    @property
    def ratio(self) -> float:
        return self.predicted / self.published


def settings_of(name: str) -> schema.Params:
    """params.yaml with one shipped recipe pasted into it."""
    tree, fragment = params.read_yaml(params.FILE), params.read_yaml(Path(f"recipes/{name}.yaml"))
    tree["machine"]["device"] = "cuda"
    tree["bases"].update(fragment["bases"])
    tree["recipes"].update(fragment["recipes"])
    return params.check(tree, name)


def rehearsed(name: str, **changes: object) -> tuple[records.Rehearsal, records.Plan]:
    loaded = settings_of(name)
    recipe = loaded.recipes[name]
    one = replace(recipe, train=replace(recipe.train, **changes))  # type: ignore[arg-type]
    found, _ = forecast.rehearse(loaded, one.base, one.train, name, on_card=True, clip_s=10.0)
    card = cards.NAMED["rtx3090ti"]
    return found, forecast.forecast(loaded, name, one, found, card, card.name)


def figures() -> list[Figure]:
    """Every published figure that can be predicted."""
    reference, planned = rehearsed("voxcpm2-full-reference")
    _, adamw = rehearsed("voxcpm2-full-reference", optimizer="adamw")
    adapter, _ = rehearsed("voxcpm2-lora")
    kept = ("CUDA context", "weights", "masters", "gradients", "optimizer", "fragmentation")
    # upstream's AdamW is not fused: its update needs the square root of every second moment
    in_update = sum(adamw.memory[name] for name in kept) + 4 * reference.num_trainable
    upstream_keeps = reference.codec + reference.caches
    directory = COPIES * (4 * reference.num_parameters + reference.moments + reference.codec)
    return [
        Figure(
            "process memory of the published full run, MiB", (planned.total + upstream_keeps) / MIB, 23_074
        ),
        Figure("adapter of rank 32, MB", adapter.checkpoint / 1e6, 70),
        Figure("run directory of 12 copies, GiB", directory / GIB, 159),
        Figure(
            "upstream's AdamW on one card, GB (reported: about 40)", (in_update + upstream_keeps) / 1e9, 40
        ),
    ]


def main() -> None:
    print("| figure | predicted | published | ratio |\n|---|--:|--:|--:|")
    for one in figures():
        print(f"| {one.name} | {one.predicted:,.1f} | {one.published:,.0f} | {one.ratio:.3f} |")


if __name__ == "__main__":
    main()
