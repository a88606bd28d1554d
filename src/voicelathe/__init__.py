"""voicelathe: fine-tune an open text-to-speech model on your own recordings, and know which checkpoint to ship and why."""

__version__ = "0.1.0"
