"""Every recording, whole, in exactly one of train, validation and test."""
