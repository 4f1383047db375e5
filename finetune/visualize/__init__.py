"""Pictures of the network's input and of trained models, and the EM videos."""
from finetune import drawing  # noqa: F401  (before matplotlib)
