"""The worker process: one job, one model family, events out. Knows torch; does not know DVC, MLflow or Great Expectations."""
