"""How does a client of MLflow's own server learn what is wrong with its request? Our sentence, a proper status, and no trace.

MLflow turns any other exception into code 400, a sentence about a serialized data frame, and a stack trace with the server's paths.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from voicelathe import errors
from voicelathe.tracking.store import mlflow

CODES = (  # the first class that fits decides -> MLflow's word for it, which is a status over HTTP
    (errors.TooLong, "INVALID_PARAMETER_VALUE"),  # 400: MLflow has no word for 413
    (errors.RequestError, "INVALID_PARAMETER_VALUE"),
    (errors.Busy, "RESOURCE_EXHAUSTED"),  # 429
    (errors.Abandoned, "DEADLINE_EXCEEDED"),  # 504
    (errors.ConsentError, "PERMISSION_DENIED"),  # 403
    (errors.PromotionError, "PERMISSION_DENIED"),
    (errors.VoiceLatheError, "TEMPORARILY_UNAVAILABLE"),  # 503: dead worker, missing weights
)


@contextmanager
def in_mlflows_words() -> Iterator[None]:
    """Raises MLflow's exception for every one of ours."""
    try:
        yield
    except errors.VoiceLatheError as problem:
        code = next(code for kind, code in CODES if isinstance(problem, kind))
        raise exception(str(problem), code) from None


def exception(message: str, code: str) -> Exception:
    """MLflow's exception with one of its codes by name."""
    number = mlflow("mlflow.protos.databricks_pb2").ErrorCode.Value(code)
    made: Exception = mlflow("mlflow.exceptions").MlflowException(message, number)
    return made


class Strict(logging.Filter):
    """Turns MLflow's warnings that it drops an unknown option or column into the error it should be, also over HTTP.

    MLflow removes the names before the model sees them (mlflow/models/utils.py, _enforce_params_schema and _enforce_schema), and no
    signature can ask it not to; what a filter raises passes through the logger to whoever logged.
    """

    LOGGER = "mlflow.models.utils"
    WARNINGS = ("Unrecognized params", "Found extra inputs")

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if said.startswith(self.WARNINGS):
            raise exception(f"No such option or column. {said}", "INVALID_PARAMETER_VALUE")
        return True

    @classmethod
    def install(cls) -> None:
        logger = logging.getLogger(cls.LOGGER)
        # whatever MLFLOW_LOGGING_LEVEL says: an unlogged warning is not filtered
        logger.setLevel(logging.WARNING)
        if not any(isinstance(one, cls) for one in logger.filters):
            logger.addFilter(cls())
