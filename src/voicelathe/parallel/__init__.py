"""One call for work on many clips, whatever does it."""
