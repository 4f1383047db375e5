import pathlib
import re
import shutil

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = pathlib.Path(__file__).parent
version = re.search(r"__version__ = '(.+)'", (here / 'fve_layer' / '__init__.py').read_text())


class BuildWithConfigs(build_py):

    """Adds the configs, which lie beside the packages, to the program that is installed."""

    def run(self):
        super().run()
        if not self.editable_mode:
            shutil.copytree(here / 'configs', pathlib.Path(self.build_lib, 'finetune', 'configs'),
                            dirs_exist_ok=True)


setup(
    name='fve_layer',
    version=version.group(1),
    description='Fisher vector encoding as a layer of a neural network, in Chainer',
    author='the fve_layer authors',
    license='MIT',
    packages=find_packages(include=['fve_layer*', 'finetune*']),
    package_data={'fve_layer': ['kernels.cu']},
    cmdclass={'build_py': BuildWithConfigs},
    python_requires='>=3.9',
    # Neither Chainer nor ChainerCV builds with a current setuptools or Python of its own accord:
    # environment.sh installs these two first.
    install_requires=[
        'chainer==7.8.1',
        'chainercv==0.13.1',
        'matplotlib',
        'numpy>=1.23',
        'packaging',
        'Markdown',
        'Pillow',
        'imageio-ffmpeg',
        'protobuf',
        'pyyaml',
        'scikit-learn',
        'scipy',
        'threadpoolctl',
    ],
    extras_require={
        'test': ['pytest', 'pytest-xdist', 'ruff', 'scikit-image'],
        'docs': ['sphinx', 'myst-parser', 'furo'],
        'cuda12': ['cupy-cuda12x>=12,<15'],
        'cuda13': ['cupy-cuda13x>=13.6,<15'],
        'mpi': ['mpi4py'],
        'tf': ['tensorflow'],
    },
)
