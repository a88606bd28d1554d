"""People listen: the blind page, their verdicts, and what follows from them."""
