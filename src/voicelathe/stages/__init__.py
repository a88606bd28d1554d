"""What the stages of the pipeline do on the parent's side: pipelines/X.py calls stages/X.py, which asks worker/X.py."""
