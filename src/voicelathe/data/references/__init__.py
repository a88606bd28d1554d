"""References in training: which other recording of the speaker a clip hears in front of itself."""
