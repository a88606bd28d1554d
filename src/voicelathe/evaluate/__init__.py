"""Evaluation, listening and selection: which checkpoint to ship, with evidence. Parent side: no torch, no mlflow."""
