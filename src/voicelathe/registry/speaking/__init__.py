"""Production's voice speaks: requests, sentences, and the model that MLflow serves."""
