"""Long recordings become proposed clips, and rows that are too long are offered cuts."""
