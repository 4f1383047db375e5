"""Two ways to train: joint learning, and the conventional pipeline."""
from finetune import drawing  # noqa: F401  (before matplotlib)
