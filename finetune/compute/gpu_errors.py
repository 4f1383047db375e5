"""Advice for errors of CuPy and CUDA when a GPU cannot be used."""
from finetune.errors import shortened

INSTALL = "pip install -e '.[cuda12]' (or cuda13) in the clone"

# Advice by a part of the message of CuPy or CUDA; the first match counts.
ADVICE = {
    'libcuda.so': "install NVIDIA's driver",
    'driver version is insufficient': 'update the driver: docs/installation.md has a table',
    'InsufficientDriver': 'update the driver: docs/installation.md has a table',
    'NoDevice': 'no GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES',
    'invalid device ordinal': 'there are fewer GPUs: check nvidia-smi and CUDA_VISIBLE_DEVICES',
    'no CUDA-capable device': 'no GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES',
    'lib': 'this CuPy needs the libraries of another CUDA than is installed: ' + INSTALL,
    'cupy': INSTALL}


def explained(error):
    """The message of an exception of CuPy, CUDA or Chainer in one line, with advice."""
    text = str(error).split('Original error:')[-1].replace('=', ' ')
    advice = next((advice for part, advice in ADVICE.items() if part.lower() in text.lower()), '')
    return shortened(text) + (f'; {advice}' if advice else '')
