"""What is in production and proof of where it came from: gates, promotion, the integrity chain, the served voice."""
