"""Two ways to train: joint learning, and the conventional pipeline."""
