"""Cached encodings of a base: written by the encode worker, indexed without torch."""
