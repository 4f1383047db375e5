"""Joint learning of CNNs, mixture and classifier by Chainer's Trainer."""
