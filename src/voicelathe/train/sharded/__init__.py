"""A model that several processes hold together (train.shard): how it is cut, and how it is saved and found again."""
