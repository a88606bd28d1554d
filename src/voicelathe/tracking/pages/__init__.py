"""What MLflow shows: the saved view that compares recipes, and the tables of a run."""
