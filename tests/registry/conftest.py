"""Fixtures of the registry."""

from tests.factories.mlflow_fixtures import (
    empty_database,
    finished_project,
    project,
    promoted,
    promoted_project,
    root,
    tracked_project,
)

__all__ = [
    "empty_database",
    "finished_project",
    "project",
    "promoted",
    "promoted_project",
    "root",
    "tracked_project",
]
