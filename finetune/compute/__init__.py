"""Convolutions and other steps of CNNs, by Chainer, by our own code, by oneDNN or by cuDNN."""
