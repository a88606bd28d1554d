"""Corpora as other tools keep them, each turned into lines of one manifest of ours: one module a form."""
