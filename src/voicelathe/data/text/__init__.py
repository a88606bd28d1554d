"""Transcripts: characters, languages, normal forms, and what stands in them that nobody said."""
