"""The clip that a base hears before it speaks zero-shot: which one it is, and which one it had better be."""
