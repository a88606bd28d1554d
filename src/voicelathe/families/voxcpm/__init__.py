"""VoxCPM 2 and 1.5 (OpenBMB)."""
