"""One optimizer step: what it works on, and what it computes."""
