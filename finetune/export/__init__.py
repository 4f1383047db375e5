"""Trained models as ONNX graphs, which run without Chainer."""
