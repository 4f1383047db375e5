"""Takes metadata out of files of pictures, because decoders refuse odd ones."""
import zlib

PNG, JPEG = b'\x89PNG\r\n\x1a\n', b'\xff\xd8'
CHUNKS = {b'IHDR', b'PLTE', b'IDAT', b'IEND'}       # of a PNG, that determine its pixels
COMMENT, ADOBE, START_OF_SCAN = 0xfe, 0xee, 0xda    # segments of a JPEG


def without_metadata(content: bytes) -> bytes | None:
    """A PNG or JPEG with only its pixels and sound EXIF data; ``None`` for other formats."""
    if content.startswith(PNG):
        return PNG + b''.join(chunk for chunk in _chunks(content) if _is_needed(chunk))
    if content.startswith(JPEG):
        return JPEG + b''.join(segment for segment in _segments(content) if _has_pixels(segment))
    return None


def _chunks(content):
    place = len(PNG)
    while place < len(content):
        length = int.from_bytes(content[place:place + 4], 'big')
        yield content[place:place + 12 + length]
        place += 12 + length


def _is_needed(chunk):
    kind, check_sum = chunk[4:8], zlib.crc32(chunk[4:-4]).to_bytes(4, 'big')
    return kind in CHUNKS or kind == b'eXIf' and check_sum == chunk[-4:]


def _segments(content):
    """Segments before the first scan, and then all the rest."""
    place = len(JPEG)
    while content[place:place + 1] == b'\xff' and content[place + 1:place + 2] < b'\xff':
        if content[place + 1:place + 2] == bytes([START_OF_SCAN]):
            break
        length = int.from_bytes(content[place + 2:place + 4], 'big')
        yield content[place:place + 2 + length]
        place += 2 + length
    yield content[place:]


def _has_pixels(segment):
    number = segment[1] if len(segment) > 1 else None
    if number == ADOBE:         # how colours are stored
        return segment[4:9] == b'Adobe' and len(segment) >= 16
    return number != COMMENT and number not in range(0xe0, 0xf0) or segment[4:8] == b'Exif'
