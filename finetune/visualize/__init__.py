"""Pictures of the network's input and of what a trained model has learned."""
