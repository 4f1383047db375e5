"""What computes the CNNs: Chainer, our own convolution, oneDNN or cuDNN; their threads."""
