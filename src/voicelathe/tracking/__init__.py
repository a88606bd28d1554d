"""The mirror in MLflow: runs, curves, candidates, sound and pages, rebuilt from local files at any time.

The only package that imports mlflow, and only inside functions. Nothing here may stop or slow a training run.
"""
