"""Early stopping (`train.early_stopping`): checkpoints are judged while their run goes on."""
