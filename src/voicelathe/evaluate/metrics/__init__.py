"""Metrics of spoken samples: plug-ins, each run in a process of its own (`python -m voicelathe.evaluate.metrics`)."""
