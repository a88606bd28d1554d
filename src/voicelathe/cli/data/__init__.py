"""Commands about data: import, rows, consent, recordings, lines, cuts."""
