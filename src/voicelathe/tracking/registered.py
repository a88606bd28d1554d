"""Registered models, as far as promotion and serving need them: versions by model id, aliases, models from code.

Versions are made from `models:/<model id>` only: a server refuses paths, which sqlite would accept.
"""

import json
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe import digest
from voicelathe.config import schema
from voicelathe.tracking import artifacts, candidates, runs
from voicelathe.tracking.runs import TAG
from voicelathe.tracking.store import Store, is_absent, mlflow

PRODUCTION, PREVIOUS, CANDIDATE = "production", "previous", "candidate"
ABOUT = (  # on the page of the registered model
    "What may speak, as `voicelathe promote` decided it; `voicelathe history` says who, when and why. "
    "An alias that is moved here by hand is refused by serving and reported by `voicelathe doctor`."
)
VOICE = f"{TAG}voice"  # tag of a LoggedModel that can speak: digest of its configuration


@dataclass(frozen=True)
class Interface:
    """What a served voice takes and gives, as MLflow's signature states it."""

    inputs: Mapping[str, str]  # column -> type
    outputs: Mapping[str, str]
    options: Mapping[str, tuple[str, Any]]  # name -> (type, default)


@dataclass(frozen=True)
class Registered:
    """One registered model of a store."""

    store: Store
    name: str

    def aliases(self) -> dict[str, str]:
        """alias -> version; empty when nothing was registered yet."""
        try:
            return {
                alias: str(v)
                for alias, v in self.store.client.get_registered_model(self.name).aliases.items()
            }
        except mlflow("mlflow.exceptions").MlflowException as problem:
            if is_absent(problem):
                return {}
            raise

    def tags(self, version: str) -> dict[str, str] | None:
        """Tags of a version; None when there is no such version."""
        try:
            return dict(self.store.client.get_model_version(self.name, version).tags)
        except mlflow("mlflow.exceptions").MlflowException as problem:
            if is_absent(problem):
                return None
            raise

    def all_tags(self) -> dict[str, dict[str, str]]:
        """version -> its tags, of every version there is."""
        found = self.store.client.search_model_versions(f"name = '{self.name}'")
        return {str(version.version): dict(version.tags) for version in found}

    def register(self, model_id: str, tags: Mapping[str, str]) -> str:
        """The version of a LoggedModel; made when there is none yet, so that a repeated promotion leaves no orphans."""
        source = f"models:/{model_id}"
        self._create_name()
        for version in self.store.client.search_model_versions(f"name = '{self.name}'"):
            if version.source == source:
                return str(version.version)
        with _current(self.store.uri):  # the embedded registry looks the model up in the process-wide store
            made = self.store.client.create_model_version(
                self.name, source, tags=dict(tags), model_id=model_id
            )
        listed = json.dumps([{"name": self.name, "version": made.version}])
        self.store.client.set_logged_model_tags(
            model_id, {"mlflow.modelVersions": listed}
        )  # shown on its page
        return str(made.version)

    def set_alias(self, alias: str, version: str) -> None:
        self.store.client.set_registered_model_alias(self.name, alias, version)

    def set_tags(self, version: str, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self.store.client.set_model_version_tag(self.name, version, key, value)

    def describe(self, version: str, text: str) -> None:
        """The sentence that MLflow shows beside a version."""
        self.store.client.update_model_version(self.name, version, text)

    def _create_name(self) -> None:
        try:
            self.store.client.create_registered_model(self.name, description=ABOUT)
        except mlflow("mlflow.exceptions").MlflowException as problem:
            if problem.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def name_of(tracking: schema.Tracking) -> str:
    """The registered model of a project: one product, whichever recipe made its current version."""
    return re.sub(r"[^\w.-]+", "-", tracking.experiment)


def find_model(
    store: Store, recipe: str, run_digest: str, candidate: str, sha256: str, voice: str
) -> Any | None:
    """The LoggedModel of a candidate: the one that speaks with this configuration, or else one that does not speak yet."""
    run = runs.find(store, recipe, run_digest)
    wanted = {f"{TAG}candidate": candidate, f"{TAG}checkpoint_sha256": sha256}
    found = [
        model
        for model in (candidates.of_run(store, run.info.run_id) if run else ())
        if all(model.tags.get(key) == value for key, value in wanted.items())
    ]
    speaking = [model for model in found if model.tags.get(VOICE) == voice]
    silent = [model for model in found if VOICE not in model.tags]
    return next(iter([*speaking, *silent]), None) or (_twin(store, found[0]) if found else None)


def give_voice(
    store: Store,
    model: Any,
    code: Path,
    config: Mapping[str, Any],
    interface: Interface,
    files: Mapping[str, bytes],
) -> None:
    """Make a LoggedModel loadable: a few kB of code and configuration beside its artifacts, no pickle, no weights.

    `files`: what the voice is given besides, by name; without its suffix it is what `load_context` knows each by.
    """
    voice = digest.of_value(config)
    if model.tags.get(VOICE) == voice:
        return
    with tempfile.TemporaryDirectory() as made, _quiet():
        directory = Path(made) / "model"
        for name, content in files.items():
            (Path(made) / name).write_bytes(content)
        mlflow("mlflow.pyfunc").save_model(
            directory,
            python_model=str(code),
            model_config=dict(config),
            signature=_signature(interface),
            pip_requirements=_requirements(),
            metadata={"voice": voice},
            artifacts={Path(name).stem: str(Path(made) / name) for name in files} or None,
        )
        artifacts.upload_model(store, model.model_id, directory)
    store.client.set_logged_model_tags(model.model_id, {VOICE: voice})


def options(uri: str, model: str) -> dict[str, Any]:
    """The options of a registered model and their defaults, from its signature alone: nothing is loaded."""
    return registration(uri, model).options


@dataclass(frozen=True)
class Registration:
    """What a version was registered with."""

    options: dict[str, Any]  # name -> default
    config: dict[str, Any]  # of the voice


def registration(uri: str, model: str) -> Registration:
    """From what MLflow keeps of a version; nothing is loaded."""
    with _current(uri), _quiet():
        info = mlflow("mlflow.models").get_model_info(model)
    given = info.signature.params if info.signature and info.signature.params else ()
    config = info.flavors.get("python_function", {}).get("config") or {}
    return Registration({option.name: option.default for option in given}, dict(config))


def file_of(uri: str, model: str, name: str) -> bytes | None:
    """A file that a version was given besides (`give_voice`); None where it has none of that name."""
    with _current(uri), _quiet(), tempfile.TemporaryDirectory() as directory:
        try:
            path = mlflow("mlflow.artifacts").download_artifacts(
                f"{model}/artifacts/{name}", dst_path=directory
            )
        except (mlflow("mlflow.exceptions").MlflowException, OSError) as problem:
            if isinstance(problem, OSError) or is_absent(problem):
                return None
            raise
        return Path(path).read_bytes()


def load(uri: str, model: str) -> Any:
    """`mlflow.pyfunc.load_model` from this store. MLflow's process-wide settings are as before afterwards."""
    with _current(uri), _quiet():
        return mlflow("mlflow.pyfunc").load_model(model)


def _twin(store: Store, model: Any) -> Any:
    """Another LoggedModel of the same candidate, for another configuration: what was registered is never rewritten."""
    kept = {key: value for key, value in model.tags.items() if key.startswith(TAG) and key != VOICE}
    twin = store.client.create_logged_model(
        store.experiment_id,
        name=model.name,
        source_run_id=model.source_run_id,
        params=model.params,
        tags=kept,
        model_type=model.model_type,
    )
    return store.client.finalize_logged_model(twin.model_id, "READY")


def _signature(interface: Interface) -> Any:
    schema, kind = mlflow("mlflow.types.schema"), mlflow("mlflow.types").DataType
    columns = [
        schema.Schema([schema.ColSpec(kind[type_name], name) for name, type_name in side.items()])
        for side in (interface.inputs, interface.outputs)
    ]
    options = [
        schema.ParamSpec(name, kind[type_], default) for name, (type_, default) in interface.options.items()
    ]
    return mlflow("mlflow.models").ModelSignature(*columns, params=schema.ParamSchema(options))


def _requirements() -> list[str]:
    """Explicit, because MLflow would otherwise load the model to guess them."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("mlflow", "numpy", "pandas", "soundfile")]


@contextmanager
def _current(uri: str) -> Iterator[None]:
    before = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with mlflow("mlflow.tracking._tracking_service.utils")._use_tracking_uri(uri):
            yield
    finally:
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MLflow's advice on type hints and input examples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
