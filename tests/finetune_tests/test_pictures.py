"""Pictures as users have them: all formats and modes, odd metadata, damage, other files."""
import io
import json
import logging
import os
from pathlib import Path
import re
import shutil
import struct
import warnings
import zlib

import numpy
from numpy.testing import assert_array_equal
from PIL import features, Image
import pytest

import conftest
from finetune import cli
from finetune.data import pictures
from finetune.data.picture_metadata import PNG
from finetune.data.pictures import read_image, require_readable, size_and_orientation
from finetune.errors import InputError

BYTE, ASCII, SHORT, LONG, RATIONAL = 1, 2, 3, 4, 5      # types of EXIF
ORIENTATION, X_RESOLUTION, EXIF_IFD, XMP, SAMPLE_FORMAT = 0x0112, 0x011a, 0x8769, 700, 339
POSTSCRIPT = (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n'
              b'%%EOF\n')


def picture(height=40, width=60, seed=0):
    """Smooth colours, uint8, (H, W, 3)."""
    small = numpy.random.RandomState(seed).randint(0, 256, (4, 6, 3)).astype(numpy.uint8)
    return numpy.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))


RGB = picture()
GREY = numpy.asarray(Image.fromarray(RGB).convert('L'))
NUMBERS = {'I;16': GREY.astype(numpy.uint16) * 257, 'I': GREY.astype(numpy.int32),
           'F': GREY.astype(numpy.float32) / 255}


def in_mode(mode):
    return Image.fromarray(NUMBERS[mode] if mode in NUMBERS else RGB).convert(mode)


def save(tmp_path, image, name='image.png', **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def encoded(image=RGB, kind='PNG', **options):
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(content):
    return numpy.asarray(Image.open(io.BytesIO(content)).convert('RGB')).transpose(2, 0, 1)


def exif(*entries):
    """EXIF data with entries (tag, type, count, four bytes)."""
    ifd = b''.join(struct.pack('<HHI', *entry[:3]) + entry[3] for entry in sorted(entries))
    return (b'Exif\0\0II*\0' + struct.pack('<IH', 8, len(entries)) + ifd + bytes(4)
            + b'not a number')


SIDEWAYS = ORIENTATION, SHORT, 1, b'\6\0\0\0'


def test_read_image(tmp_path):
    image = read_image(save(tmp_path, Image.fromarray(RGB)))
    assert image.dtype == numpy.uint8
    assert (image == RGB.transpose(2, 0, 1)).all()


# --- modes


@pytest.mark.parametrize('mode', ['L', 'LA', '1'])
def test_grey_images_get_three_equal_channels(mode, tmp_path):
    grey = Image.fromarray(RGB).convert(mode)
    image = read_image(save(tmp_path, grey))
    assert (image == numpy.asarray(grey.convert('L'))).all()


@pytest.mark.parametrize('mode', ['P', 'RGBA'])
def test_palette_and_alpha(mode, tmp_path):
    image = Image.fromarray(RGB)
    image = image.quantize(256) if mode == 'P' else image.convert(mode)
    expected = numpy.asarray(image.convert('RGB')).transpose(2, 0, 1)
    assert abs(expected - RGB.transpose(2, 0, 1).astype(int)).mean() < 20    # 256 colours
    assert (read_image(save(tmp_path, image)) == expected).all()


@pytest.mark.parametrize('transparency', [3, bytes(range(256))])
def test_transparent_colours_of_a_palette(transparency, tmp_path):
    image = Image.fromarray(RGB).quantize(256)
    expected = numpy.asarray(image.convert('RGB')).transpose(2, 0, 1)
    path = save(tmp_path, image, transparency=transparency)
    assert (read_image(path) == expected).all()


@pytest.mark.parametrize('order', '<>')
@pytest.mark.parametrize('name', ['image.png', 'image.tif'])
def test_16_bits_are_scaled_not_clipped(name, order, tmp_path):
    grey = (numpy.arange(2400).reshape(40, 60) * 27).astype(f'{order}u2')
    image = read_image(save(tmp_path, Image.fromarray(grey), name))
    assert (image == grey // 256).all()


@pytest.mark.parametrize('name', ['image.png', 'image.tif', 'image.pgm'])
def test_16_bits_that_are_dark_stay_dark(name, tmp_path):
    for values in ([0, 1, 255], [0, 255, 256], [511, 512, 513]):
        grey = numpy.uint16([values])
        image = read_image(save(tmp_path, Image.fromarray(grey), name))
        assert_array_equal(image, numpy.broadcast_to(grey // 256, (3, 1, 3)))


@pytest.mark.parametrize('values, expected', [
    (numpy.float32([0, .1, .5, 1]), [0, 26, 128, 255]),
    (numpy.arange(256, dtype='f') / 255, range(256)),
    (numpy.float32([0, 1.5, 254.9, 255]), [0, 1, 254, 255]),
    (numpy.float32([0, 255, 256, 65535]), [0, 0, 1, 255]),
    (numpy.int32([0, 1, 2, 255]), [0, 1, 2, 255]),
    (numpy.int32([0, 1, 1, 0]), [0, 1, 1, 0]),
    (numpy.int32([0, 1, 255, 256]), [0, 0, 0, 1]),
    (numpy.int32([0, 255, 256, 65535]), [0, 0, 1, 255]),
    (numpy.float32([0, 0, 0, 0]), [0, 0, 0, 0]),
])
def test_numbers_of_32_bits_keep_their_brightness(values, expected, tmp_path):
    image = read_image(save(tmp_path, Image.fromarray(values[None]), 'image.tif'))
    assert_array_equal(image, numpy.broadcast_to(numpy.uint8(expected), (3, 1, len(values))))


@pytest.mark.parametrize('values, sentence', [
    (numpy.float32([-.1, 1]), 'has numbers from -0.1 to 1 for brightness, but they must be'),
    (numpy.float32([0, 65536]), 'from 0 to 65536'),
    (numpy.float32([0, numpy.inf]), 'from 0 to inf'),
    (numpy.float32([numpy.nan, 1]), 'from nan to nan'),
    (numpy.int32([-5, 100]), 'from -5 to 100'),
    (numpy.int32([0, 2 ** 31 - 1]), r'within \[0, 65535\]; save it with 8 bits, or floats in'),
])
def test_numbers_without_a_known_range(values, sentence, tmp_path):
    path = save(tmp_path, Image.fromarray(values[None]), 'image.tif')
    assert re.search(f'image.tif: .*{sentence}', refusal(path))


@pytest.mark.parametrize('mode', [
    '1', 'L', 'P', 'PA', 'LA', 'La', 'RGB', 'RGBA', 'RGBa', 'RGBX', 'CMYK', 'YCbCr', 'HSV', 'LAB',
    'I;16', 'I', 'F'])
def test_all_modes_are_as_bright_as_the_picture(mode):
    image = in_mode('LA').convert(mode) if mode == 'La' else in_mode('RGBA').convert(
        mode) if mode == 'RGBa' else in_mode(mode)
    result = numpy.asarray(pictures._rgb('image', image), float)
    is_grey = mode in ('L', 'LA', 'La', 'I;16', 'I', 'F')
    tolerance = {'1': 150, 'P': 25, 'PA': 25}.get(mode, 3)
    assert result.shape == RGB.shape
    expected = GREY[..., None] if is_grey else RGB
    assert abs(result - expected).mean() < tolerance
    assert abs(result.mean() - expected.mean()) < (8 if mode == '1' else 2)


def test_inverted_cmyk_of_adobe(tmp_path):
    path = save(tmp_path, in_mode('CMYK'), 'image.jpg', quality=95)
    assert b'Adobe' in path.read_bytes()
    image = read_image(path)
    assert abs(image.transpose(1, 2, 0).astype(float) - RGB).mean() < 4
    content = bytearray(path.read_bytes())
    content[content.index(b'Adobe') + 11] = 2       # YCCK
    path.write_bytes(content)
    other = read_image(path)
    path.write_bytes(b'\xff\xd8\xff\xe0\0\7JFIF\0' + content[2:])        # an odd JFIF
    assert (other != image).any()
    assert_array_equal(read_image(path), other)


@pytest.mark.parametrize('name', ['a.gif', 'a.png', 'a.webp', 'a.tif', 'a.mpo'])
def test_the_first_frame_of_several(name, tmp_path):
    first, second = (Image.fromarray(values) for values in (RGB, 255 - RGB))
    path = save(tmp_path, first, name, save_all=True, append_images=[second])
    image = read_image(path).transpose(1, 2, 0).astype(float)
    assert abs(image - RGB).mean() < 25 < abs(image - (255 - RGB)).mean()


# --- formats


@pytest.mark.parametrize('kind, name', [
    ('PNG', 'x.jpg'), ('JPEG', 'x.png'), ('GIF', 'x.jpeg'), ('TIFF', 'x.bmp'), ('TGA', 'x.TGA')])
def test_content_decides_and_not_the_name(kind, name, tmp_path):
    content = encoded(kind=kind)
    (tmp_path / name).write_bytes(content)
    assert_array_equal(read_image(tmp_path / name), decoded(content))


def test_formats_and_endings():
    Image.init()
    known = Image.registered_extensions()
    for kind, suffixes in pictures.FORMATS.items():
        assert kind in ('AVIF', 'HEIF') or kind in Image.OPEN
        wrong = {suffix: known.get(suffix) for suffix in suffixes
                 if known.get(suffix, kind) not in (kind, 'MPO')}
        assert not wrong
    assert pictures.SUFFIXES == {suffix.lower() for suffix in pictures.SUFFIXES}
    others = {'.ps', '.eps', '.h5', '.hdf', '.mpg', '.mpeg', '.fits', '.wmf', '.emf', '.pdf',
              '.grib', '.bufr', '.iim'}
    assert not others & pictures.SUFFIXES


def test_no_other_program_is_started(tmp_path, monkeypatch):
    """Pillow would have Ghostscript execute such a file."""
    program = tmp_path / 'gs'
    program.write_text(f'#!/bin/sh\ntouch {tmp_path}/started\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setattr('PIL.EpsImagePlugin.gs_binary', None)
    for name in ('x.jpg', 'x.eps', 'x.ps', 'x.tga'):
        (tmp_path / name).write_bytes(POSTSCRIPT)
        assert 'is not a picture of a known format; ' in refusal(tmp_path / name)
    assert not (tmp_path / 'started').exists()
    with Image.open(tmp_path / 'x.jpg') as image, pytest.raises(OSError):     # so the trap works
        image.load()
    assert (tmp_path / 'started').exists()


# --- what cannot be read


def huge(n_bits):
    """A PNG of 14000 x 14000 pixels."""
    rows = zlib.compress(bytes(14000 * (14000 * n_bits // 8 + 1)), 1)
    head = struct.pack('>IIBBBBB', 14000, 14000, n_bits, 0, 0, 0, 0)
    return PNG + chunk(b'IHDR', head) + chunk(b'IDAT', rows) + chunk(b'IEND', b'')


def chunk(kind, data, damage=0):
    check_sum = zlib.crc32(kind + data) ^ damage
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', check_sum)


def large_bmp():
    content = bytearray(encoded(kind='BMP'))
    content[18:26] = 2 * (100000).to_bytes(4, 'little')      # width and height
    return bytes(content)


UNKNOWN = 'is not a picture of a known format; copy it again, convert it to JPEG or PNG'
DAMAGED = r'is not a complete image \(.+\); copy it again, convert it to JPEG or PNG if other'
REFUSED = {
    'a.png of nothing': (b'', 'is empty; copy it again'),
    'a.png of text': (b'no', UNKNOWN),
    'a.png of zeros': (bytes(5000), UNKNOWN),
    'a.jpg of a page of HTML': (b'<!DOCTYPE html><html></html>', UNKNOWN),
    'a.jpg of PostScript': (POSTSCRIPT, UNKNOWN),
    'a.jpg of PDF': (b'%PDF-1.4\n%', UNKNOWN),
    'a.jpg of a film': (b'\0\0\1\xba' + bytes(100), UNKNOWN),
    'a.jpg of HDF5': (b'\x89HDF\r\n\x1a\n' + bytes(100), UNKNOWN),
    'a.jpg of a metafile': (b'\xd7\xcd\xc6\x9a\0\0' + bytes(60), UNKNOWN),
    'a.png of TGA': (encoded(kind='TGA'), UNKNOWN),
    'a.png cut': (encoded()[:-60], DAMAGED),
    'a.png cut in its header': (encoded()[:20], DAMAGED),
    'a.png of a wrong check sum': (encoded().replace(b'IDATx', b'IDATy'), DAMAGED),
    'a.jpg cut': (encoded(kind='JPEG')[:400], DAMAGED),
    'a.jpg of its first bytes': (b'\xff\xd8\xff\xe0', DAMAGED),
    'a.gif cut': (encoded(kind='GIF')[:500], DAMAGED),
    'a.webp cut': (encoded(kind='WEBP')[:-300], DAMAGED),
    'a.webp of an odd header': (b'RIFF\4\0\0\0WEBP', DAMAGED),
    'a.tif cut': (encoded(kind='TIFF')[:2000], DAMAGED),
    'a.tif of zipped noise': (encoded(kind='TIFF', compression='tiff_adobe_deflate').replace(
        b'x\x9c', b'xx'), DAMAGED),
    'a.tif of three floats': (encoded(kind='TIFF', tiffinfo={SAMPLE_FORMAT: 3}), DAMAGED),
    'a.ppm of an odd header': (b'P6 x', DAMAGED),
    'a.ppm of a size that is none': (b'P6\n99999999999 1\n255\n', DAMAGED),
    'a.ppm of no size': (b'P6\n0 0\n255\n', DAMAGED),
    'a.jp2 cut': (b'\0\0\0\x0cjP  \r\n\x87\n' + bytes(30), DAMAGED),
    'a.bmp that claims to be huge': (large_bmp(), r'is damaged or too large \(.+\); make the '
                                     'image smaller, or copy it again'),
    'a.png of 14000 x 14000 pixels of a bit': (huge(1), r'is damaged or too large \(more '
                                               r'than 178,956,970 pixels\); make'),
}


WAYS = read_image, lambda path: read_image(path, True), require_readable


def refusal(path, functions=WAYS):
    """The sentence, the same for all ways to read the picture, and nothing else."""
    sentences = []
    for function in functions:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            with pytest.raises(InputError) as raised:
                function(path)
        sentences.append(str(raised.value))
    assert len(set(sentences)) == 1 and sentences[0].startswith(f'{path}: ')
    assert '\n' not in sentences[0] and sentences[0].endswith('.')
    return sentences[0].replace(f'{path}: ', f'{path.name}: ', 1)


def write_refused(case, folder):
    path = Path(folder, case.split()[0])
    path.write_bytes(REFUSED[case][0])
    return path


@pytest.mark.parametrize('case', REFUSED)
def test_one_sentence_for_what_cannot_be_read(case, tmp_path, capfd):
    path = write_refused(case, tmp_path)
    sentence = refusal(path)
    assert re.match(f'{path.name}: {REFUSED[case][1]}', sentence)
    assert 'images.txt' not in sentence
    try:
        size_and_orientation(path)
        assert path.suffix != '.png'        # the headers of others may be sound
    except InputError as error:
        assert f'{path.name}: {str(error).split(": ", 1)[1]}' == sentence
    assert capfd.readouterr().err == ''


@pytest.mark.skipif(not features.check('avif'), reason='This Pillow has no AVIF')
def test_damaged_avif(tmp_path):
    content = encoded(kind='AVIF')
    for end in (20, 100, 300, len(content) - 20):       # some raise RuntimeError
        (tmp_path / 'a.avif').write_bytes(content[:end])
        assert re.match(f'a.avif: {DAMAGED}', refusal(tmp_path / 'a.avif'))


def test_files_that_are_not_there_or_not_for_us(tmp_path, monkeypatch):
    file = save(tmp_path, Image.fromarray(RGB))
    ways = read_image, size_and_orientation
    for path in (tmp_path / 'none.png', file / 'inside.png'):
        sentence = f'{path.name}: there is no such image; copy it there or take it out of the data'
        assert refusal(path, ways).startswith(sentence)
    assert 'is a folder' in refusal(tmp_path, ways)
    (tmp_path / 'loop.png').symlink_to(tmp_path / 'loop.png')
    assert re.search('loop.png: (cannot be read|there is no)', refusal(tmp_path / 'loop.png', ways))
    assert 'cannot be read (File name too long)' in refusal(tmp_path / f'{"x" * 300}.png', ways)

    def denied(*arguments):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr('builtins.open', denied)        # root may read every file
    assert refusal(file, ways) == ('image.png: may not be read; change the permissions of the file '
                                   'or of its folder.')


@pytest.mark.parametrize('error', [
    OSError, SyntaxError, ValueError, struct.error, RuntimeError, EOFError, IndexError, KeyError,
    TypeError, OverflowError, zlib.error, AttributeError, AssertionError, ZeroDivisionError,
    SystemError, RecursionError, UnicodeDecodeError])
def test_every_exception_of_a_decoder(error, tmp_path, monkeypatch):
    def fails(*arguments):
        raise error(*{UnicodeDecodeError: ('utf-8', b'x', 0, 1, 'odd')}.get(error, ('odd\ntext',)))

    path = save(tmp_path, Image.fromarray(RGB))
    monkeypatch.setattr('PIL.ImageFile.ImageFile.load', fails)
    assert re.match(r'image.png: is not a complete image \(.*odd.*\); copy', refusal(path))


def test_not_enough_memory(tmp_path, monkeypatch):
    def fails(*arguments):
        raise MemoryError

    path = save(tmp_path, Image.fromarray(RGB))
    monkeypatch.setattr('PIL.ImageFile.ImageFile.load', fails)
    assert 'is damaged or too large (there is not enough memory); make' in refusal(path)


def test_interruptions_and_closed_stderr(tmp_path, monkeypatch):
    path = save(tmp_path, Image.fromarray(RGB), 'image.tif')
    monkeypatch.setattr(pictures, 'STDERR', 10 ** 6)        # as if it were closed
    assert_array_equal(read_image(path), RGB.transpose(2, 0, 1))

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr('PIL.ImageFile.ImageFile.load', interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_image(path)


# --- sound pictures with odd metadata


def with_chunk(kind, data, damage=0, place=33):
    content = encoded()
    return content[:place] + chunk(kind, data, damage) + content[place:]


def sideways(kind, *entries, **options):
    return encoded(kind=kind, exif=exif(SIDEWAYS, *entries), **options)


def jpeg_with_segment(number, data):
    content = encoded(kind='JPEG')
    return content[:2] + struct.pack('>BBH', 0xff, number, len(data) + 2) + data + content[2:]


TEXT_FOR_A_NUMBER = X_RESOLUTION, ASCII, 12, struct.pack('<I', 38)     # behind two entries
FOREVER = EXIF_IFD, LONG, 1, struct.pack('<I', 8)      # an IFD that contains itself
# Orientation and content.
ODD = {
    'a.jpg of a resolution in text': (6, sideways('JPEG', TEXT_FOR_A_NUMBER)),
    'a.png of a resolution in text': (6, sideways('PNG', TEXT_FOR_A_NUMBER)),
    'a.webp of a resolution in text': (6, sideways('WEBP', TEXT_FOR_A_NUMBER)),
    'a.jpg of a resolution beyond its end': (
        6, sideways('JPEG', (X_RESOLUTION, RATIONAL, 1, b'\xff' * 4))),
    'a.jpg of an unknown type': (6, sideways('JPEG', (X_RESOLUTION, 99, 1, bytes(4)))),
    'a.jpg of EXIF data in themselves': (6, sideways('JPEG', FOREVER)),
    'a.jpg of an orientation in text': (
        1, encoded(kind='JPEG', exif=exif((ORIENTATION, ASCII, 2, b'6\0\0\0')))),
    'a.jpg of two orientations': (
        6, encoded(kind='JPEG', exif=exif((ORIENTATION, SHORT, 2, b'\6\0\6\0')))),
    'a.jpg of orientation 9': (
        1, encoded(kind='JPEG', exif=exif((ORIENTATION, SHORT, 1, b'\x09\0\0\0')))),
    'a.jpg of EXIF data that are none': (1, encoded(kind='JPEG', exif=b'Exif\0\0no')),
    'a.jpg of EXIF data that are cut': (1, encoded(kind='JPEG', exif=exif(SIDEWAYS)[:20])),
    'a.png of EXIF data that are none': (1, with_chunk(b'eXIf', b'no')),
    'a.webp of EXIF data that are none': (1, encoded(kind='WEBP', exif=b'Exif\0\0no')),
    'a.jpg of an odd ICC profile': (1, encoded(kind='JPEG', icc_profile=b'no')),
    'a.webp of an odd ICC profile': (1, encoded(kind='WEBP', icc_profile=b'no')),
    'a.tif of an odd ICC profile': (1, encoded(kind='TIFF', icc_profile=b'no')),
    'a.jpg of an odd index of pictures': (1, jpeg_with_segment(0xe2, b'MPF\0II*\0odd')),
    'a.jpg of an odd resource': (1, jpeg_with_segment(0xed, b'Photoshop 3.0\x008BIM\4\4odd')),
    'a.jpg of an odd JFIF': (1, jpeg_with_segment(0xe0, b'JFIF\0')),
    'a.jpg of EXIF data and an odd JFIF': (
        6, b'\xff\xd8\xff\xe0\0\7JFIF\0' + sideways('JPEG')[2:]),
    'a.jpg of an odd note of Adobe': (1, jpeg_with_segment(0xee, b'Adobe')),
    'a.tif of XMP in numbers': (1, encoded(kind='TIFF', tiffinfo={XMP: b'12345678'}).replace(
        struct.pack('<HHI', XMP, BYTE, 8), struct.pack('<HHI', XMP, LONG, 2))),
    'a.png of a large text': (1, with_chunk(b'zTXt', b'a\0\0' + zlib.compress(bytes(2 ** 21)))),
    'a.png of a large text at its end': (
        1, with_chunk(b'zTXt', b'a\0\0' + zlib.compress(bytes(2 ** 21)), 0, -12)),
    'a.png of large international text': (
        1, with_chunk(b'iTXt', b'a\0\1\0\0\0' + zlib.compress(bytes(2 ** 21)))),
    'a.png of an odd ICC profile': (1, with_chunk(b'iCCP', b'a\0\0no')),
    'a.png of an ICC profile that is large': (
        1, with_chunk(b'iCCP', b'a\0\0' + zlib.compress(bytes(2 ** 21)))),
    'a.png of a text with a wrong check sum': (1, with_chunk(b'tEXt', b'a\0b', damage=1)),
    'a.png of a resolution with a wrong check sum': (1, with_chunk(b'pHYs', bytes(9), damage=1)),
    'a.png of a short resolution': (1, with_chunk(b'pHYs', b'')),
    'a.png of short colours': (1, with_chunk(b'cHRM', b'\1')),
    'a.png of an odd animation': (1, with_chunk(b'acTL', bytes(8))),
    'a.png of EXIF data with a wrong check sum': (1, with_chunk(b'eXIf', exif(SIDEWAYS), 1)),
    'a.png of EXIF data and a text with a wrong check sum': (
        6, sideways('PNG')[:33] + chunk(b'tEXt', b'a\0b', 1) + sideways('PNG')[33:]),
}


@pytest.mark.parametrize('case', ODD)
def test_odd_metadata_do_not_matter(case, tmp_path, capfd):
    orientation, content = ODD[case]
    path = tmp_path / case.split()[0]
    path.write_bytes(content)
    expected = RGB.transpose(2, 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warnings.filterwarnings('ignore', module='PIL')      # as the module does
        assert size_and_orientation(path) == (RGB.shape[:2], orientation)
        stored, upright = read_image(path), read_image(path, True)
    assert abs(stored.astype(float) - expected).mean() < (0 if '.png' in case else 5) + 1e-9
    assert_array_equal(upright, stored if orientation == 1 else numpy.rot90(
        stored, -1, axes=(1, 2)))
    assert capfd.readouterr().err == ''


@pytest.mark.parametrize('name', ['image.png', 'image.jpg', 'image.webp'])
def test_images_stay_as_they_are_stored_or_are_turned(name, tmp_path):
    """Data sets are annotated in pixels as stored, whatever the EXIF data say."""
    for orientation in range(1, 9):
        data = Image.Exif()
        data[ORIENTATION] = orientation
        path = save(tmp_path, Image.fromarray(RGB), name, exif=data)
        with Image.open(path) as image:
            expected = numpy.asarray(image.convert('RGB'))
        assert_array_equal(read_image(path), expected.transpose(2, 0, 1))
        assert size_and_orientation(path) == (RGB.shape[:2], orientation)
        if orientation > 4:
            expected = expected.transpose(1, 0, 2)
        if orientation in (3, 4, 7, 8):
            expected = expected[::-1]
        if orientation in (2, 3, 6, 7):
            expected = expected[:, ::-1]
        assert_array_equal(read_image(path, True), expected.transpose(2, 0, 1))


@pytest.mark.parametrize('upright', [False, True])
def test_size_of_a_turned_tiff_is_that_of_its_pixels(upright, tmp_path):
    path = save(tmp_path, Image.fromarray(RGB), 'image.tif', tiffinfo={ORIENTATION: 6})
    size, orientation = size_and_orientation(path)
    assert read_image(path, upright).shape == (3, *size) == (3, 60, 40) and orientation == 1


def test_logged_errors_are_not_printed(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), 'handlers', [])        # those of pytest
    content = encoded(kind='TIFF')
    samples = content.index(struct.pack('<HHI', 277, SHORT, 1))
    (tmp_path / 'a.tif').write_bytes(content[:samples + 8] + b'\x99\0' + content[samples + 10:])
    assert re.match(f'a.tif: {DAMAGED}', refusal(tmp_path / 'a.tif'))
    assert capfd.readouterr().err == ''


# --- commands


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A folder with pictures, a config and a run; tests add pictures and remove them."""
    folder = tmp_path_factory.mktemp('pictures')
    for k, name in enumerate('ab'):
        (folder / 'photos' / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(picture(seed=10 * k + i)).save(folder / 'photos' / name / f'{i}.png')
    data = {'dataset': 'folder', 'root': 'photos', 'parts': 'GLOBAL'}
    conftest.finish(folder, folder, data=data, model={'encoding': 'gap'}, training={'epochs': 1})
    return folder


@pytest.fixture
def photos(trained, monkeypatch):
    monkeypatch.chdir(trained)
    shutil.copytree('photos', 'kept')
    yield Path('photos/a')
    shutil.rmtree('photos')
    Path('kept').rename('photos')
    shutil.rmtree('new', ignore_errors=True)


def outcome(capfd, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    return code, *capfd.readouterr()


@pytest.mark.parametrize('case', [
    'a.jpg of PostScript', 'a.png of 14000 x 14000 pixels of a bit',
    'a.ppm of an odd header', 'a.webp of an odd header', 'a.tif of zipped noise', 'a.png cut'])
def test_commands_say_which_picture_cannot_be_read(case, photos, capfd):
    path = write_refused(case, photos)
    code, printed, _ = outcome(capfd, 'doctor', 'config.yml')
    assert code == 2 and f'1 picture cannot be read: {path}; copy' in printed
    code, _, error = outcome(capfd, 'train', 'config.yml', '--output', 'new')
    assert code == 2 and re.fullmatch(f'finetune: {path}: {REFUSED[case][1]}.*\n', error)
    code, printed, error = outcome(
        capfd, 'predict', 'results/photos/config/seed0', 'photos', '--output', 'new/answers.json')
    assert code == 1 and f'finetune: {path}: ' in error
    answers = json.loads(Path('new/answers.json').read_text())
    assert len(answers['images']) == 6 and answers['unreadable'] == [str(path)]


OTHERS = '.mpg', '.h5', '.ps', '.eps', '.fits'


def test_commands_read_odd_pictures_and_ignore_other_files(photos, capfd):
    for i, case in enumerate(ODD):
        name = case.split()[0]
        (photos / f'{i}{name}').write_bytes(ODD[case][1])
    Image.fromarray(picture(12, 100_000)).save(photos / 'strip.png')
    save(photos, in_mode('F'), 'float.tif')
    for ending in OTHERS:
        (photos / f'file{ending}').write_bytes(POSTSCRIPT)
    n = len(ODD) + 2
    code, printed, _ = outcome(capfd, 'doctor', 'config.yml')
    assert code == 0 and all(f'files of another kind ({ending}): 1' in printed for ending in OTHERS)
    assert outcome(capfd, 'train', 'config.yml', '--output', 'new')[0] == 0
    code, printed, error = outcome(capfd, 'predict', 'results/photos/config/seed0', 'photos')
    assert code == 0 and printed.count('photos/') == 6 + n
    assert error.startswith('photos: ') and error.count('\n') == 1 + len(OTHERS)


def test_floats_that_barely_exceed_1_are_clipped(tmp_path):
    numbers = numpy.random.RandomState(0).rand(8, 8).astype('f')
    numbers[0, 0] = 1.0001
    Image.fromarray(numbers).save(tmp_path / 'a.tif')
    expected = numpy.rint(numbers.clip(0, 1) * 255)
    assert_array_equal(read_image(tmp_path / 'a.tif'), numpy.stack(3 * [expected]))


def test_tiff_of_12_bits(tmp_path):
    fields = ((256, 4, 2), (257, 4, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8),
              (277, 3, 1), (278, 4, 1), (279, 4, 3))
    content = struct.pack('<2sHI', b'II', 42, 12) + b'\xff\xf8\x00\0'    # 4095, 2048
    content += struct.pack('<H', len(fields)) + b''.join(
        struct.pack('<HHII', tag, kind, 1, value) for tag, kind, value in fields) + bytes(4)
    (tmp_path / 'a.tif').write_bytes(content)
    assert read_image(tmp_path / 'a.tif')[0].tolist() == [[255, 128]]
