"""What several families need: files of a base, packing, adapters, pickles, speaker means."""
