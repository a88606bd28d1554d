"""Qwen3-TTS (QwenLM)."""
