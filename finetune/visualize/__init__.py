"""Pictures of the network's input and of trained models, and the EM videos."""
