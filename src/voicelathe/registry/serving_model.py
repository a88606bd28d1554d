"""The file MLflow keeps as a registered voice (models from code) and runs in `load_model` and `mlflow models serve`.

It holds no logic, so that a version promoted today speaks with the voicelathe installed tomorrow; there is no pickle anywhere.
Input: column `text`. Output: one row a text with `wav_base64`; to a file: `Path("a.wav").write_bytes(b64decode(row.wav_base64))`.
"""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from voicelathe.registry.voice import Strict, Voice
from voicelathe.tracking.answers import in_mlflows_words


class Served(PythonModel):  # type: ignore[misc]
    """A `Voice` in MLflow's clothes."""

    voice: Voice

    def load_context(self, context: Any) -> None:
        self.voice = Voice.open(context.model_config, artifacts=context.artifacts)
        Strict.install()

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        with in_mlflows_words():
            return pd.DataFrame(self.voice.say_all(list(model_input["text"]), params or {}))


set_model(Served())
