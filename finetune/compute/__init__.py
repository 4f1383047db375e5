"""Implementations of CNN layers (Chainer, our own convolution, oneDNN, cuDNN) and their threads."""
