"""Pictures of what the network gets and of what it has learned, and the EM videos."""
