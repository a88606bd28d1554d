"""Worker side of training: the loop, its memory, its adapters and its checkpoints. Knows no model family by name."""
