"""Opens the user's pictures, as nothing else does, in formats that start no other program."""
import contextlib
import functools
import importlib.util
import io
import logging
import os
from pathlib import Path
import re
import threading
import warnings

import numpy
from PIL import Image

from finetune.data.picture_metadata import without_metadata
from finetune.errors import InputError, shortened
from finetune.files import require_file

# Formats of Pillow, in the order in which they are tried, and their file endings. Left out: formats
# that Pillow hands to other programs or libraries (EPS, WMF, HDF5, GRIB), films, and containers.
FORMATS = {
    'JPEG': ('.jpg', '.jpeg', '.jpe', '.jfif', '.mpo'),
    'PNG': ('.png', '.apng'),
    'GIF': ('.gif',),
    'BMP': ('.bmp',),
    'DIB': ('.dib',),
    'PPM': ('.ppm', '.pgm', '.pbm', '.pnm', '.pfm'),
    'TIFF': ('.tif', '.tiff'),
    'WEBP': ('.webp',),
    'AVIF': ('.avif', '.avifs'),
    'JPEG2000': ('.jp2', '.j2k', '.jpc', '.jpf', '.jpx', '.j2c'),
    'ICO': ('.ico',),
    'PSD': ('.psd',),
    'QOI': ('.qoi',),
    'DDS': ('.dds',),
    'PCX': ('.pcx',),
    'SGI': ('.sgi', '.rgb', '.rgba', '.bw'),
    'SUN': ('.ras',),
    'XBM': ('.xbm',),
    'XPM': ('.xpm',),
    'TGA': ('.tga', '.icb', '.vda', '.vst'),
    'HEIF': ('.heic', '.heif', '.hif'),     # of a package that adds it to Pillow
}
READS_HEIC = importlib.util.find_spec('pi_heif') is not None
TO_READ_HEIC = 'pip install pi-heif'
SUFFIXES = frozenset(suffix for name, suffixes in FORMATS.items() for suffix in suffixes
                     if name != 'HEIF' or READS_HEIC)

SIGNATURES = re.compile(
    rb'\xff\xd8|\x89PNG|GIF8|BM|P[1-7fF]\s|II[*+]|MM\0[*+]|RIFF.{4}WEBP|.{4}ftypavi|'
    rb'\0\0\0\x0cjP|\xffO\xffQ|8BPS|qoif|DDS ', re.DOTALL)
HEIC = re.compile(rb'.{4}ftyp(hei|hev|mif1|msf1)', re.DOTALL)

ORIENTATION = 0x0112    # EXIF tag; 1: upright
N_BITS = 0x0102         # TIFF tag: bits per channel
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
         4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
         6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}

STDERR, LOCK = 2, threading.Lock()

# What Pillow raises is reported; what it warns of and logs is not. A context would not be safe
# here: pictures are read in several threads.
warnings.filterwarnings('ignore', module='PIL')
logging.getLogger('PIL').addHandler(logging.NullHandler())


def read_image(path: Path, upright: bool = False) -> numpy.ndarray:
    """Reads an image (3, H, W), uint8, RGB, of any mode; drops transparency and later frames.

    Numbers of 16 bits are divided by 256, those of 9 to 15 bits of a TIFF by less. For numbers of
    32 bits, the largest of the image decides:

    - floats below 2 are clipped to 1, multiplied by 255 and rounded;
    - other numbers below 256 are kept, rounded down;
    - numbers below 65536 are divided by 256;
    - larger and negative numbers are refused.

    ``upright`` rotates the image by its EXIF data: wrong if parts are annotated in pixels as
    stored. TIFFs and HEICs are always rotated.
    """
    return _opened(path, lambda image: _pixels(path, image, upright))


def require_readable(path: Path) -> None:
    """Raises an error if :func:`read_image` would; decodes large JPEGs at an eighth of their size,
    which is faster."""
    _opened(path, lambda image: _load(image) if image.draft(image.mode, (1, 1))
            else _pixels(path, image, upright=True))


def array_of(name: str, image: Image.Image, upright: bool = False) -> numpy.ndarray:
    """The pixels of an opened image as :func:`read_image` reads them; messages begin with ``name``.
    """
    try:
        return _pixels(name, image, upright)
    except InputError:
        raise
    except Exception as error:      # as in _opened
        raise InputError(f'{name}: {_what_to_do(error, b"")}.')


def size_and_orientation(path: Path) -> tuple[tuple[int, int], int]:
    """Height and width without ``upright``, and the EXIF orientation, 1 if it is unreadable."""
    return _opened(path, _size_and_orientation)


def _opened(path, use):
    """Calls ``use`` with an opened image; what Pillow raises becomes one sentence."""
    start = b''
    try:
        require_file(path)
        with open(path, 'rb') as file:
            start = file.read(64)
        return _decoded(path, use)
    except InputError:
        raise
    except Exception as error:      # Pillow's decoders raise almost any exception
        raise InputError(f'{path}: {_what_to_do(error, start)}.')


def _decoded(path, use):
    formats = _formats(Path(path).suffix.lower() in FORMATS['TGA'])
    try:
        with Image.open(path, formats=formats) as image:
            return use(image)
    except (InputError, MemoryError, Image.DecompressionBombError):
        raise
    except Exception:
        content = without_metadata(Path(path).read_bytes())
        if content is None:
            raise
    with Image.open(io.BytesIO(content), formats=formats) as image:
        return use(image)


@functools.cache
def _formats(with_tga):
    """Allowed formats that this Pillow has; TGA, which has no signature, only by its ending."""
    Image.init()
    if READS_HEIC:
        import pi_heif
        pi_heif.register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN and (with_tga or name != 'TGA'))


def _what_to_do(error, start):
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return 'there is no such image; copy it there or take it out of the data set'
    if isinstance(error, PermissionError):
        return 'may not be read; change the permissions of the file or of its folder'
    if isinstance(error, OSError) and error.errno is not None:
        return f'cannot be read ({error.strerror}); copy it again'
    if isinstance(error, (Image.DecompressionBombError, MemoryError)):
        reason = ('there is not enough memory' if isinstance(error, MemoryError) else
                  f'more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels')
        return f'is damaged or too large ({reason}); make the image smaller, or copy it again'
    if HEIC.match(start) and not READS_HEIC:
        return (f'is in the format HEIC, which needs another package; {TO_READ_HEIC}, or convert '
                'it to JPEG or PNG')
    is_known = SIGNATURES.match(start) or HEIC.match(start)
    if isinstance(error, Image.UnidentifiedImageError) and not is_known:
        what = 'is not a picture of a known format' if start else 'is empty'
        return f'{what}; copy it again, convert it to JPEG or PNG, or take it out of the data set'
    reason = shortened(str(error)) or type(error).__name__
    if isinstance(error, Image.UnidentifiedImageError):
        reason = 'its header cannot be decoded'      # Pillow's text repeats the path
    return (f'is not a complete image ({reason}); copy it again, convert it to JPEG or PNG if '
            'other programs can show it, or remove it')


def _size_and_orientation(image):
    if image.format == 'PNG':       # its EXIF data may be at the end
        _load(image)
    return (image.height, image.width), _orientation(image)


def _orientation(image):
    if image.format == 'TIFF':      # turned by Pillow
        return 1
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
        return int(orientation) if orientation in TURNS else 1
    except Exception:       # as above; the pixels are sound
        return 1


def _load(image):
    if not isinstance(image.info.get('xmp', b''), bytes):       # a tag of a TIFF
        del image.info['xmp']
    with _silenced() if image.format == 'TIFF' else contextlib.nullcontext():
        image.load()


@contextlib.contextmanager
def _silenced():
    """Context in which libtiff cannot print to stderr what Pillow raises anyway."""
    with LOCK, open(os.devnull, 'wb') as nowhere:
        try:
            kept = os.dup(STDERR)
        except OSError:     # there is no stderr
            yield
            return
        try:
            os.dup2(nowhere.fileno(), STDERR)
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)


def _pixels(path, image, upright):
    _load(image)
    turn = TURNS.get(_orientation(image)) if upright else None
    image = _rgb(path, image)
    if turn is not None:
        image = image.transpose(turn)
    return numpy.asarray(image).transpose(2, 0, 1)


def _rgb(path, image):
    if image.mode.startswith('I;16') or (image.mode == 'I' and image.format in ('PNG', 'PPM')):
        n_bits = image.tag_v2.get(N_BITS, (16,))[0] if image.format == 'TIFF' else 16
        image = Image.fromarray((numpy.asarray(image) >> n_bits - 8).astype(numpy.uint8))
    elif image.mode in ('I', 'F'):
        image = Image.fromarray(_brightness(path, numpy.asarray(image)))
    elif image.mode == 'La':
        image = image.convert('LA')
    return image.convert('RGB')


def _brightness(path, numbers):
    """Converts numbers of 32 bits, (H, W), to 8 bits."""
    low, high = numbers.min(), numbers.max()
    if not 0 <= low <= high < 2 ** 16:      # or one is not a number
        raise InputError(f'{path}: has numbers from {low:g} to {high:g} for brightness, but they '
                         'must be within [0, 65535]; save it with 8 bits, or floats in [0, 1].')
    if numbers.dtype.kind == 'f' and high < 2:
        numbers = numpy.rint(numbers.clip(0, 1) * 255)
    elif high >= 256:
        numbers = numbers // 256
    return numbers.astype(numpy.uint8)
