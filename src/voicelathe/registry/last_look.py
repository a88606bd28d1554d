"""What may have changed between the gates and the alias? Hashing takes minutes, and the locks are taken after it.

Asked again under the locks, which `prune` needs, too: consent and licence of this moment, every record the gates read, and whether
all files of the weights are still there in their size. No weight is hashed twice.
"""

from collections.abc import Iterator
from pathlib import Path

from voicelathe import checkpoints, digest
from voicelathe.errors import PromotionError, listing
from voicelathe.registry import gates
from voicelathe.registry.gates import Case


def require(case: Case, root: Path) -> None:
    """Raises PromotionError with everything that changed since the gates were asked."""
    if found := list(_changes(case, root)):
        raise PromotionError(
            f"{case.files.run.recipe}: {case.shown.candidate.name} passed the gates, but meanwhile something changed; nothing was promoted:\n"
            + listing(found)
        )


def _changes(case: Case, root: Path) -> Iterator[str]:
    base, now = case.files.run.identity.base, gates.load_params(root)
    if now.bases.get(base) != case.params.bases[base] or now.consent != case.params.consent:
        yield f"params.yaml: bases.{base} or consent was edited"
    yield from gates.consent_problems(
        root, case.speakers, gates.models_of(base, case.files.run.identity.family)
    )
    yield from (one.message for one in gates.mixed_in(case.files, case.shown))
    for path, sha256 in case.inputs.items():
        if not (root / path).is_file() or digest.of_file(root / path) != sha256:
            yield f"{path} is not what the gates read"
    if case.shown.checkpoint.kind != "base":
        yield from _weights(root / case.shown.checkpoint.path, case.shown.checkpoint.sha256)


def _weights(directory: Path, sha256: str) -> Iterator[str]:
    if not (directory / checkpoints.MANIFEST).is_file() or checkpoints.identity(directory) != sha256:
        yield f"{directory} is gone, or holds other weights"
        return
    listed = digest.read_json(directory / checkpoints.MANIFEST)["files"]
    for name, entry in sorted(listed.items()):
        path = directory / name
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            yield f"{path} is gone or was changed"
