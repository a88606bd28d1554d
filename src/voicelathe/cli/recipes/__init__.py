"""Commands about recipes: summary, why, retrain, compare, replicate."""
