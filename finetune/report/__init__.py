"""Reports: the results of all runs beside the published ones, in Markdown, HTML and plots."""
from finetune import drawing  # noqa: F401  (before matplotlib)
