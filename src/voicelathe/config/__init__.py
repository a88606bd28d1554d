"""params.yaml as typed settings: what can be chosen, how it is read, checked and edited."""
