"""Does an entry of the lexicon help? What `voicelathe lexicon try` does."""
