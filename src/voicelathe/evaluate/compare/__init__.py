"""Recipes beside each other, and trainings with other seeds."""
