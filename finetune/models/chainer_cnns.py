"""Chainer's ResNet50 and VGG16 up to their ConvMaps, without the class layers.

Arrays have Chainer's names, so files that its ``convert_caffemodel_to_npz`` made from the published
models can be loaded.
"""
import chainer
import chainer.functions as F
import chainer.links as L

from fve_layer.arrays import ArrayOrVariable

# Means of ImageNet in [0, 255], BGR, with which the two were trained.
RESNET_MEAN, VGG_MEAN = (103.063, 115.903, 123.152), (103.939, 116.779, 123.68)
VGG16_STAGES = (64, 2), (128, 2), (256, 3), (512, 3), (512, 3)      # channels, convolutions


def as_caffe(x: ArrayOrVariable, mean: tuple[float, ...]) -> chainer.Variable:
    """Converts images (N, 3, H, W) from RGB in [-1, 1] to Caffe's BGR in [0, 255] minus the mean.

    The conversion is a convolution with kernel size 1, so that ``export`` includes it.
    """
    xp = chainer.backend.get_array_module(x)
    weight = 127.5 * xp.eye(3, dtype=x.dtype)[::-1].reshape(3, 3, 1, 1)
    return F.convolution_2d(x, weight, 127.5 - xp.asarray(mean, x.dtype))


class ResNet50(L.ResNet50Layers):

    """:class:`chainer.links.ResNet50Layers` without its last layer (He et al., 2016)."""

    def __init__(self) -> None:
        super().__init__(pretrained_model=None)
        del self.fc6

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        """ConvMaps (N, 2048, H / 32, W / 32) of images (N, 3, H, W) in [-1, 1]."""
        x = F.relu(self.bn1(self.conv1(as_caffe(x, RESNET_MEAN))))
        x = F.max_pooling_2d(x, ksize=3, stride=2)
        return self.res5(self.res4(self.res3(self.res2(x))))


class VGG16(chainer.Chain):

    """The convolutions of :class:`chainer.links.VGG16Layers` (Simonyan and Zisserman, 2015)."""

    def __init__(self) -> None:
        super().__init__()
        n_in = 3
        with self.init_scope():
            for stage, (n_out, n_convolutions) in enumerate(VGG16_STAGES, 1):
                for i in range(1, n_convolutions + 1):
                    setattr(self, f'conv{stage}_{i}', L.Convolution2D(
                        n_in, n_out, 3, 1, 1, initialW=chainer.initializers.HeNormal()))
                    n_in = n_out

    def forward(self, x: ArrayOrVariable) -> chainer.Variable:
        """ConvMaps (N, 512, H / 32, W / 32) of images (N, 3, H, W) in [-1, 1]."""
        x = as_caffe(x, VGG_MEAN)
        for stage, (_, n_convolutions) in enumerate(VGG16_STAGES, 1):
            for i in range(1, n_convolutions + 1):
                x = F.relu(self[f'conv{stage}_{i}'](x))
            x = F.max_pooling_2d(x, ksize=2, stride=2)
        return x
