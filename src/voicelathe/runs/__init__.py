"""Executions of recipes: their identity, what they left, and what was removed on purpose."""
