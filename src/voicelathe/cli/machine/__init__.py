"""Commands about this machine: bases, environments, memory, recognisers, triage, doctor."""
