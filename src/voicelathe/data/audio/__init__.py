"""The only door to users' audio: checked before it is decoded, and decoded in one way."""
