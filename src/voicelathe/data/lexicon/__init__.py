"""The project's lexicon: what the model gets instead of what is written, the same in training, in the sweep and in production."""
