"""IndexTTS2 (bilibili)."""
