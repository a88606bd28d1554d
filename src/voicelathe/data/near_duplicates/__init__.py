"""The same performance twice, and what splits have in common."""
