"""A voice over HTTP: `voicelathe serve`. Everything that decides what may be spoken lies in registry/; here are addresses, keys and formats."""
