"""Pictures of what the network gets to see and of what a trained model has learned."""
