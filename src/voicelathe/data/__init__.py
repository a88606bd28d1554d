"""From the raw manifest to cached encodings: formats, audio, measures, rules, splits, the gate, latents."""
