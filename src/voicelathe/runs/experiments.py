"""What does the copy of a project that `dvc exp run --temp` or `--queue` works in share with the project itself?

DVC makes that copy below .dvc/tmp/exps and deletes it afterwards, with everything in it that is neither in git nor an output of a stage.
Weights are no output, so they lie in the project, and the copy holds a link to them. The links have the names of the folders they
stand for, so every record of the experiment names the same paths as in the project.
"""

from pathlib import Path

from voicelathe import layout
from voicelathe.errors import CheckpointError

INSIDE = (".dvc", "tmp", "exps")
SHARED = (layout.CHECKPOINTS, Path(".cache"))


def project_of(root: Path) -> Path:
    """The project itself when `root` is a temporary copy that DVC made of it, or lies in one."""
    parts = root.parts
    for at in range(len(parts) - len(INSIDE) + 1):
        if parts[at : at + len(INSIDE)] == INSIDE:
            return Path(*parts[:at])
    return root


def share(root: Path) -> None:
    """In a temporary copy: link what would be lost with it to the project. Anywhere else: nothing.

    Raises CheckpointError where something else lies in the place of a link, or the project's own folder cannot be reached.
    """
    root = root.resolve()
    project = project_of(root)
    require_reachable(project)
    if project == root:
        return
    for name in SHARED:
        link, target = root / name, project / name
        target.mkdir(parents=True, exist_ok=True)
        if link.is_symlink() and link.resolve() == target.resolve():
            continue
        try:
            link.symlink_to(target)
        except FileExistsError:
            raise CheckpointError(
                f"{name} was copied into the temporary directory of this experiment ({root}) and would be deleted with it. Leave it out "
                f"of what is copied (dvc exp run --copy-paths): the experiment uses {target} itself."
            ) from None


def require_reachable(project: Path) -> None:
    """Raises CheckpointError when checkpoints/ is a link to a place that is not there, for example a disk that is not mounted."""
    folder = project / layout.CHECKPOINTS
    if folder.is_symlink() and not folder.exists():
        raise CheckpointError(
            f"{folder} is a link to {folder.readlink()}, which is not there. Mount that disk, or point the link at where the weights are "
            "now; then run the same command again."
        )
