"""Pictures: the mixture learning in two dimensions, and what a trained model sees."""
