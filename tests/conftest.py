"""Shared test set-up: nothing is mocked; markers say what a test needs."""
