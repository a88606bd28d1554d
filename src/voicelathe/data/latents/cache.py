"""The cached encodings of a base: written once by the encode worker, read by training and validation. Worker side.

A clip's encoding is a function of its samples and the base, and is cached under what decides them (CleanClip.sound); shards only
bundle what the splits need, so a clip added tomorrow is the only one encoded tomorrow.
"""

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from voicelathe import digest, records
from voicelathe.data import control, tables
from voicelathe.data.latents import index
from voicelathe.data.lexicon.reading import as_read, in_front
from voicelathe.errors import RecordError

if TYPE_CHECKING:
    from torch import Tensor

    from voicelathe.families.base import ClipItem

REVISION = 1  # of the encoding itself: a new one empties the cache
CLIPS_PER_SHARD = 1024


def cache_key(clip: records.CleanClip, base_digest: str) -> str:
    """Identity of a clip's encoding."""
    return digest.of_value([REVISION, base_digest, *clip.sound])


def store(path: Path, tensors: "Mapping[str, Tensor]") -> None:
    """Write one clip's tensors whole or not at all."""
    from safetensors.torch import save

    digest.write_bytes(path, save(dict(tensors)))


def bundle(
    clips: Mapping[str, list[records.CleanClip]], cached: Mapping[str, Path], out: Path
) -> list[records.LatentEntry]:
    """Write shards of all splits, clips in the order of their ids, and index.parquet. Returns the index."""
    from safetensors.torch import load_file, save_file

    split_of = {clip.clip_id: split for split, members in clips.items() for clip in members}
    ordered = sorted(split_of)
    shutil.rmtree(out / "shards", ignore_errors=True)
    (out / "shards").mkdir(parents=True)
    entries: list[records.LatentEntry] = []
    for number, start in enumerate(range(0, len(ordered), CLIPS_PER_SHARD)):
        shard, file = {}, f"shards/{number:05d}.safetensors"
        for clip_id in ordered[start : start + CLIPS_PER_SHARD]:
            tensors = load_file(cached[clip_id])
            shard.update({f"{clip_id}/{name}": tensor for name, tensor in tensors.items()})
            length = max(tensor.shape[0] for tensor in tensors.values())
            entries.append(records.LatentEntry(clip_id, split_of[clip_id], file, length, _identity(tensors)))
        save_file(shard, out / file)
    tables.write(out / index.FILE, entries)
    return entries


def items(
    clips: Path,
    directory: Path,
    lexicon: records.Lexicon | None,
    choose: Callable[[list[str]], Collection[str]] = list,
    with_control: bool = False,
) -> "dict[str, ClipItem]":
    """Every clip of a split file with its encoding and its text as the model reads it, in the order of the clip ids.

    `choose`: those of the ids that are wanted; others are not loaded. `with_control`: a control stands in front of the text.

    Raises RecordError when a clip was never encoded or a shard does not hold what the index says.
    """
    from safetensors import safe_open

    from voicelathe.families.base import ClipItem

    known = {entry.clip_id: entry for entry in index.read(directory)}
    rows = sorted(records.read(clips, records.CleanClip), key=lambda row: row.clip_id)
    if missing := [row.clip_id for row in rows if row.clip_id not in known]:
        raise RecordError(
            f"{directory}/index.parquet has no encoding of {len(missing)} clips of {clips}, first {missing[0]}. Run: dvc repro encode"
        )
    chosen = set(choose([row.clip_id for row in rows]))
    rows = [row for row in rows if row.clip_id in chosen]
    found: dict[str, dict[str, Tensor]] = {}
    for file in sorted({known[row.clip_id].file for row in rows}):
        wanted = {row.clip_id for row in rows if known[row.clip_id].file == file}
        with safe_open(directory / file, framework="pt") as shard:
            for key in shard.keys():  # noqa: SIM118  (not a dict)
                clip_id, name = key.split("/")
                if clip_id in wanted:
                    found.setdefault(clip_id, {})[name] = shard.get_tensor(key)
    for row in rows:
        if _identity(found.get(row.clip_id, {})) != known[row.clip_id].sha256:
            raise RecordError(
                f"{directory}/{known[row.clip_id].file}: the encoding of {row.clip_id} is not the one in the index. Run: dvc repro -f -s encode"
            )
    controls = {row.clip_id: control.of(row) if with_control else None for row in rows}
    return {
        row.clip_id: ClipItem(
            row.clip_id,
            as_read(lexicon, row.text, row.language, controls[row.clip_id]),
            row.language,
            row.speaker_id,
            found[row.clip_id],
            in_front(controls[row.clip_id]),
        )
        for row in rows
    }


def _identity(tensors: "Mapping[str, Tensor]") -> str:
    parts = [
        [name, list(t.shape), str(t.dtype), digest.of_bytes(t.numpy().tobytes())]
        for name, t in sorted(tensors.items())
    ]
    return digest.of_value(parts)
