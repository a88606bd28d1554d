"""What MLflow sees while a run is going on."""
