"""Trained models as ONNX graphs, to be run without Chainer."""
