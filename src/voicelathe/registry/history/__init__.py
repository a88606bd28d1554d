"""The journal of promotions: written, merged, looked back at."""
