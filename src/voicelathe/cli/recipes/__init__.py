"""Commands about recipes: summary, retrain, compare, replicate."""
