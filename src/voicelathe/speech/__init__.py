"""What can be heard in a clip, measured by small models that ship inside wheels: speech, words, alignment, speaker, pitch.

Every function takes mono float32 samples [frames] at RATE_HZ, full scale 1.0; `data.audio.waveform` decodes and resamples.
Worker side or a process of its own: silero's model, PocketSphinx and torch are loaded on the first call and kept.
The extra `metrics` brings the tools; a missing one raises MetricUnavailable.
"""

RATE_HZ = 16_000
