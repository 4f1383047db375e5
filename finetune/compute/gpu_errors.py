"""What CuPy and CUDA say where a GPU cannot be used, and what helps."""
from finetune.errors import shortened

INSTALL = "pip install -e '.[cuda12]' (or cuda13) in the clone"

# Parts of messages of CuPy and CUDA, and what helps.
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
    """What an exception of CuPy, CUDA or Chainer says, in one line, and what helps."""
    text = str(error).split('Original error:')[-1].replace('=', ' ')
    advice = next((advice for part, advice in ADVICE.items() if part.lower() in text.lower()), '')
    return shortened(text) + (f'; {advice}' if advice else '')
