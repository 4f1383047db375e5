"""What a trained classifier says about pictures that nobody has labelled."""
