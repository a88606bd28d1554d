"""Commands about production: promote, serve, export, history, weights that may go."""
