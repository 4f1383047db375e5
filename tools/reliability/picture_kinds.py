"""Files for the row of pictures: suffix, content, and whether it must be readable."""
import functools
import io
import itertools
import struct
import zlib

import numpy
from PIL import Image

from common import damaged
from finetune.data.pictures import SUFFIXES

MODES = {
    '.jpg': ('L', 'RGB', 'CMYK', 'YCbCr'), '.png': ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16'),
    '.gif': ('L', 'P'), '.bmp': ('1', 'L', 'P', 'RGB', 'RGBA'), '.ppm': ('1', 'L', 'RGB', 'I;16'),
    '.pfm': ('F',), '.webp': ('RGB', 'RGBA'), '.avif': ('L', 'RGB', 'RGBA'),
    '.tif': ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'RGBX', 'CMYK', 'YCbCr', 'LAB', 'I;16', 'I',
             'F'),
    '.jp2': ('L', 'LA', 'RGB', 'RGBA', 'I;16'), '.ico': ('RGBA',), '.qoi': ('RGB', 'RGBA'),
    '.dds': ('L', 'RGB', 'RGBA'), '.pcx': ('1', 'L', 'P', 'RGB'), '.sgi': ('L', 'RGB', 'RGBA'),
    '.xbm': ('1',), '.tga': ('1', 'L', 'LA', 'P', 'RGB', 'RGBA')}
OPTIONS = {
    '.jpg': ({}, {'progressive': True, 'quality': 50}), '.webp': ({}, {'lossless': True}),
    '.tif': tuple({'compression': name} for name in (
        None, 'packbits', 'tiff_lzw', 'tiff_adobe_deflate', 'jpeg', 'group4')),
    '.tga': ({}, {'compression': 'tga_rle'}), '.bmp': ({},), '.ico': ({}, {'bitmap_format': 'bmp'})}
COMPRESSED = {'jpeg': ('L', 'RGB', 'CMYK'), 'group4': ('1',),
              'tga_rle': ('L', 'LA', 'P', 'RGB', 'RGBA')}
TAKE_EXIF = '.jpg', '.png', '.webp'        # any bytes
ANCILLARY = (b'tEXt', b'zTXt', b'iTXt', b'iCCP', b'eXIf', b'tRNS', b'acTL', b'fcTL', b'fdAT',
             b'pHYs', b'gAMA', b'cHRM', b'sRGB', b'sBIT', b'bKGD', b'tIME', b'abcd')
EXTREMES = 0, 1, 2, 127, 255, 256, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff

# Tags of TIFF and EXIF, and their values in a sound picture of 8 x 8 pixels.
TAGS = {254: 0, 256: 8, 257: 8, 258: 8, 259: 1, 262: 2, 270: 65, 273: 1000, 274: 6, 277: 3, 278: 8,
        279: 192, 282: 72, 283: 72, 284: 1, 296: 2, 317: 1, 320: 0, 322: 8, 323: 8, 324: 1000,
        325: 192, 338: 0, 339: 1, 347: 0, 700: 60, 34377: 56, 34665: 500, 34675: 0, 34853: 500,
        37500: 500, 40965: 500}
NEEDED = 256, 257, 258, 259, 262, 273, 277, 278, 279
METADATA = 270, 274, 282, 283, 296, 700, 34377, 34665, 34675, 34853, 37500, 40965
TYPES = {1: 'B', 2: 'B', 3: 'H', 4: 'I', 5: 'II', 6: 'b', 7: 'B', 8: 'h', 9: 'i', 10: 'ii', 11: 'f',
         12: 'd', 13: 'I', 16: 'Q', 17: 'q', 18: 'Q', **dict.fromkeys((0, 14, 15, 19, 65535), 'I')}
LARGEST = {'b': 127, 'B': 255, 'h': 32767, 'H': 65535, 'i': 2 ** 31 - 1}


def foreign():
    """Files of other kinds under all names of pictures."""
    script = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n'
    for suffix in sorted(SUFFIXES):
        for content in (b'', b'no', bytes(500), script, b'%PDF-1.4\n', b'\x89HDF\r\n\x1a\n',
                        b'\0\0\0\x18ftypheic\0\0\0\0mif1heic', b'\0\0\1\xba' + bytes(100),
                        b'\xd7\xcd\xc6\x9a\0\0' + bytes(60), b'SIMPLE  =' + b' ' * 3000):
            yield suffix, content, False


@functools.cache
def originals():
    """Sound pictures: suffix and content."""
    colours = numpy.random.RandomState(0).randint(0, 256, (6, 5, 3)).astype(numpy.uint8)
    image = Image.fromarray(colours).resize((50, 40), Image.BICUBIC)
    grey = numpy.asarray(image.convert('L'))
    numbers = {'I;16': grey.astype(numpy.uint16) * 257, 'I': grey.astype(numpy.int32),
               'F': grey.astype(numpy.float32) / 255}
    found = []
    for suffix, modes in MODES.items():
        for mode, options in itertools.product(modes, OPTIONS.get(suffix, ({},))):
            if mode not in COMPRESSED.get(options.get('compression'), (mode,)):
                continue
            one = Image.fromarray(numbers[mode]) if mode in numbers else image.convert(mode)
            file = io.BytesIO()
            one.save(file, Image.registered_extensions()[suffix], **options)
            found.append((suffix, file.getvalue()))
    for suffix in ('.gif', '.png', '.webp', '.tif', '.mpo', '.avif'):
        file = io.BytesIO()
        image.save(file, Image.registered_extensions()[suffix], save_all=True,
                   append_images=[image.rotate(90)])
        found.append((suffix, file.getvalue()))
    found.append(('.xpm', b'/* XPM */\nstatic char *a[] = {\n"2 2 2 1",\n"a c #ff0000",\n'
                          b'"b c #00ff00",\n"ab",\n"ba"};\n'))
    found.append(('.psd', b'8BPS\0\1' + bytes(6) + struct.pack('>HIIHH', 3, 8, 8, 8, 3)
                          + bytes(12) + bytes(2) + bytes(range(192))))
    found.append(('.ras', struct.pack('>8I', 0x59a66a95, 8, 8, 24, 192, 1, 0, 0) + bytes(192)))
    return found


def damaged_pictures(random, n):
    for i in range(n):
        suffix, content = originals()[i % len(originals())]
        yield suffix, _changed(suffix, content, random), False


def _changed(suffix, content, random):
    kind = random.randint(4)
    if kind == 0:
        return damaged(content, random)
    if kind == 1 and suffix == '.png':
        return _with_changed_chunk(content, random)
    if kind == 1 and suffix in ('.jpg', '.mpo'):
        return content[:2] + _segment(random) + content[2:]
    if kind == 2 and suffix in TAKE_EXIF:
        file = io.BytesIO()
        exif = damaged(_tiff(random, (274, 282, 34665), {}), random)
        Image.open(io.BytesIO(content)).save(
            file, Image.registered_extensions()[suffix], exif=b'Exif\0\0' + exif)
        return file.getvalue()
    content = bytearray(content)
    for _ in range(random.randint(1, 4)):       # numbers of the header
        size = 2 ** random.randint(3)
        place = random.randint(min(len(content) - size, 300))
        value = EXTREMES[random.randint(len(EXTREMES))] % 256 ** size
        content[place:place + size] = value.to_bytes(size, ('big', 'little')[random.randint(2)])
    return bytes(content)


def _chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def _odd(random):
    return (b'Comment\0\0' + zlib.compress(bytes(2 ** 21)), b'x' * 10 ** 5, random.bytes(13),
            b'')[random.randint(4)]


def _with_changed_chunk(content, random):
    """A PNG with another chunk or another one's content, whose check sums are right."""
    chunks, place = [], 8
    while place < len(content):
        length, = struct.unpack_from('>I', content, place)
        chunks.append((content[place + 4:place + 8], content[place + 8:place + 8 + length]))
        place += 12 + length
    i = random.randint(len(chunks))
    kinds = *ANCILLARY, b'PLTE', b'IDAT', b'IHDR', b'ABCD'
    if random.randint(2):
        data = (_odd(random), chunks[i][1])[random.randint(2)]
        chunks.insert(i, (kinds[random.randint(len(kinds))], data))
    else:
        chunks[i] = chunks[i][0], damaged(chunks[i][1] or b'x', random)
    return content[:8] + b''.join(_chunk(*chunk) for chunk in chunks)


def _segment(random):
    """A segment of a JPEG with other data in it."""
    kinds = (b'Exif\0\0', b'MPF\0', b'ICC_PROFILE\0', b'Photoshop 3.0\x008BIM', b'Adobe\0',
             b'JFIF\0', b'http://ns.adobe.com/xap/1.0/\0', b'')
    data = kinds[random.randint(len(kinds))] + random.bytes(random.randint(60))
    return struct.pack('>BBH', 0xff, 0xe0 + random.randint(16), len(data) + 2) + data


def with_tags(random):
    """All types in all tags, of a TIFF and of other formats' EXIF data."""
    holders = [(suffix, content) for suffix, content in originals()
               if suffix in TAKE_EXIF]
    for tag, (number, code), count in itertools.product(TAGS, TYPES.items(), (0, 1, 3, 2 ** 31)):
        changed = {tag: (number, code, count)}
        yield '.tif', _tiff(random, NEEDED, changed), tag in METADATA
        suffix, content = holders[random.randint(len(holders))]
        file = io.BytesIO()
        Image.open(io.BytesIO(content)).save(
            file, Image.registered_extensions()[suffix],
            exif=b'Exif\0\0' + _tiff(random, (274,), changed))
        yield suffix, file.getvalue(), True


def with_metadata(random):
    """Sound pictures, as they are and with odd chunks and segments."""
    for suffix, content in originals():
        yield suffix, content, True
        for _ in range(20):
            if suffix == '.png':
                kind, data = ANCILLARY[random.randint(len(ANCILLARY))], _odd(random)
                chunk = bytearray(_chunk(kind, data))
                chunk[-1] ^= random.randint(2)          # the check sum
                place = (33, len(content) - 12)[random.randint(2)]
                yield suffix, content[:place] + bytes(chunk) + content[place:], True
            elif suffix in ('.jpg', '.mpo'):
                yield suffix, content[:2] + _segment(random) + content[2:], True


def _tiff(random, tags, changed):
    """A TIFF of 8 x 8 pixels with tags of a number each, but changed ones of type and count."""
    order = '<>'[random.randint(2)]
    entries, extra = [], bytearray()
    for tag in sorted({*tags, *changed}):
        number, code, count = changed.get(tag, (4, 'I', 1))
        value = TAGS[tag] if tag not in changed or random.randint(2) else EXTREMES[
            random.randint(len(EXTREMES))]
        kept = min(max(count, 1), 100) * len(code)
        value = min(value, LARGEST.get(code[0], value))
        data = struct.pack(f'{order}{kept}{code[0]}', *kept * [value])
        if len(data) > 4:
            data, extra = struct.pack(f'{order}I', 600 + len(extra)), extra + data
        entries.append(struct.pack(f'{order}HHI', tag, number, count) + data.ljust(4, b'\0'))
    ifd = struct.pack(f'{order}H', len(entries)) + b''.join(entries) + bytes(4)
    header = (b'II' if order == '<' else b'MM') + struct.pack(f'{order}HI', 42, 8)
    head = (header + ifd).ljust(600, b'\0') + bytes(extra)
    return head[:1000].ljust(1000, b'\0') + bytes(range(192))
