"""What the audio of every clip is, in numbers: decoded once, cached by content."""
