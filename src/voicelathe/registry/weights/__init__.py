"""Weights that production rests on, or no longer does: archived, restored, kept, pruned."""
