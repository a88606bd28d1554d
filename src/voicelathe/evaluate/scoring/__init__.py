"""What metrics say of samples and of the speaker's real clips, asked in processes of their own."""
