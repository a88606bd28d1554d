"""What `voicelathe doctor` sees of the Ray cluster: the same questions that every node is asked before work begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from voicelathe import layout, records
from voicelathe.cli.machine.machine import BAD, NOTE, OK, MachineFinding

if TYPE_CHECKING:
    from voicelathe.config import schema
    from voicelathe.parallel.needs import Needs

LOCAL_FIX = "engine.address: auto, or HOST:PORT, joins a cluster of several machines (docs/scale.md)."


def cluster(params: schema.Params) -> Iterator[MachineFinding]:
    """Nothing for another engine. Raises ClusterError when the cluster cannot be joined."""
    if params.engine.kind != "ray":
        return
    from voicelathe.parallel import nodes, ray_cluster

    try:
        where, found = ray_cluster.nodes(params.engine, _needs(params))
    finally:
        ray_cluster.close()
    cpus = sum(one.cpus for one in found)
    seen = f"{len(found)} node{'s' if len(found) != 1 else ''} with {cpus:g} CPUs at {where}"
    is_small = cpus < params.engine.workers
    fix = f"engine.workers = {params.engine.workers}: no more than {cpus:g} tasks can run at once; the others wait."
    local = LOCAL_FIX if params.engine.address is None else ""
    yield MachineFinding("ray", NOTE if is_small else OK, seen, fix if is_small else local)
    for one in found:
        has = f"{one.cpus:g} CPUs, {one.gpus:g} GPUs"
        if one.problems:
            yield MachineFinding(
                f"ray {one.name}", BAD, f"{has}; {'; '.join(one.problems[:3])}", nodes.remedy([one])
            )
        else:
            yield MachineFinding(f"ray {one.name}", OK, f"{has}, sees this project with the same versions")


def _needs(params: schema.Params) -> Needs:
    """The audio that the manifest names, as far as it was ingested, the recogniser's files, and the bases with what reads them."""
    from voicelathe import families
    from voicelathe.parallel.needs import Needs
    from voicelathe.speech import recogniser_files

    rows = records.read(layout.MANIFEST, records.ManifestRow) if layout.MANIFEST.is_file() else []
    names = sorted({row.audio for row in rows if row.audio_problem is None})
    chosen = params.speech.recogniser
    ears = [str(recogniser_files.directory(chosen.model))] if chosen is not None and params.hear.words else []
    bases = list(params.bases.values())
    packages = sorted({name for one in bases for name in families.spec(one.family).requires})
    folders = [*ears, *(one.path for one in bases)]
    audio = Needs.of(Path(params.ingest.audio_root), names, folders)
    return replace(audio, packages=tuple(packages), is_exact=bool(bases))
