"""What the stages of the pipeline do on the parent's side: stages/X.py holds what pipelines/X.py calls and what is more than a screen."""
