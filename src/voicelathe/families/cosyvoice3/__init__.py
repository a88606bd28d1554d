"""CosyVoice 3 (FunAudioLLM)."""
