"""MLflow runs whose process was killed: nobody told MLflow, which would show them as running for ever."""

from pathlib import Path

from voicelathe.config import schema
from voicelathe.tracking.live import processes
from voicelathe.tracking.runs import PROCESS
from voicelathe.tracking.store import Store, address, connect, is_embedded, usable


def end(tracking: schema.Tracking, root: Path) -> list[str]:
    """Mark them KILLED; their names. Runs of other machines, and of processes that live, are left alone. Raises TrackingError."""
    uri = address(root)
    if is_embedded(uri) and not Path(uri.removeprefix("sqlite:///")).is_file():
        return []
    store = connect(tracking, root)
    with usable(store.uri):
        return end_in(store)


def end_in(store: Store) -> list[str]:
    """The same in a store that is open already."""
    ended = []
    for run in store.client.search_runs([store.experiment_id], "attributes.status = 'RUNNING'"):
        if processes.is_dead(run.data.tags.get(PROCESS, "")):
            store.client.set_terminated(run.info.run_id, "KILLED")
            ended.append(str(run.info.run_name))
    return ended
