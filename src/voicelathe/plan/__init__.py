"""Whether a recipe fits, before it starts: memory of the card, disk and time, all computed. docs/plan.md explains every number."""
