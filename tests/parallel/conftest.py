"""Two real Ray nodes for the tests of a file."""

from collections.abc import Iterator

import pytest

from tests.parallel import cluster_lab
from voicelathe.parallel import ray_cluster


@pytest.fixture(scope="module")
def lab() -> Iterator[cluster_lab.Lab]:
    made = cluster_lab.Lab()
    made.add()
    yield made
    ray_cluster.close()
    made.end()
