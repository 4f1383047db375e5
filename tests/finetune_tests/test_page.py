"""The answers of ``predict`` as a page: the same as in JSON, whole without a network."""
import html
from html.parser import HTMLParser
import io
import json
import os
from pathlib import Path
import shutil
import subprocess
from urllib.parse import unquote, urlparse
from urllib.request import urlopen

import numpy
from PIL import Image
import pytest

from chainer.testing import attr
from conftest import fails, finish, run

NAMES = ['<b onclick="x">bold & "q".png', '#hash?100%.png', 'caf\udce9.png', 'a' * 120 + '.png']
BROWSER = shutil.which('chromium')


class Content(HTMLParser):

    """Attributes of the elements of a page by tag, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], ''
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag, name):
        return [given[name] for there, given in self.elements if there == tag and name in given]


@pytest.fixture(scope='module')
def tiles(drawn_birds, tmp_path_factory):
    """A finished run of four tiles per image."""
    return finish(drawn_birds, tmp_path_factory.mktemp('tiles'), data={'parts': 'GRID'},
                  training={'epochs': 1})


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder of noise in files of odd names, and of one that is no picture."""
    monkeypatch.chdir(tmp_path)
    Path('pictures').mkdir()
    random = numpy.random.RandomState(0)
    for i, name in enumerate(NAMES):
        pixels = random.randint(0, 256, (40, 60 + i, 3)).astype(numpy.uint8)
        Image.fromarray(pixels).save(Path('pictures', name))
    Path('pictures', 'no<picture>.png').write_text('text')
    return Path('pictures')


def page_of(tiles, pictures, *options):
    assert run('predict', tiles, pictures, '--output', 'out/index.html', *options) == 1
    return Path('out/index.html').read_text(encoding='utf-8')


def test_page_has_the_answers_of_json(tiles, pictures):
    page = page_of(tiles, pictures, '--top', 2)
    content = Content(page)
    assert run('predict', tiles, pictures, '--output', 'out/answers.json', '--top', 2) == 1
    answers = json.loads(Path('out/answers.json').read_text(encoding='utf-8'))
    rows = [f'{row["class"]} {100 * row["probability"]:.1f} %'
            for answer in answers['images'] for row in answer['classes']]
    assert len(rows) == 2 * len(NAMES)
    place = 0
    for row in rows:        # in this order
        place = content.text.index(row, place) + len(row)
    boxes = [[float(rect[name]) for name in ('y', 'x', 'height', 'width')]
             for tag, rect in content.elements if tag == 'rect']
    assert boxes == [[y, x, bottom - y, right - x] for answer in answers['images']
                     for part in answer['parts'] for y, x, bottom, right in [part['box']]]
    assert len(boxes) == 4 * len(NAMES)


def test_page_shows_names_as_they_are_and_every_picture(tiles, pictures):
    content = Content(page_of(tiles, pictures))
    for name in [*NAMES, 'no<picture>.png']:
        assert f'pictures/{name}'.replace('\udce9', '\\xe9') in content.text
    assert not [tag for tag, given in content.elements if 'onclick' in given or tag == 'script']
    sources, texts = content.of('img', 'src'), content.of('img', 'alt')
    assert len(sources) == len(texts) and all(texts)
    sizes = []
    for source in sources:
        with urlopen(source) as file:               # a data: address
            sizes.append(Image.open(io.BytesIO(file.read())).size)
    assert sorted(sizes[:len(NAMES)]) == [(60 + i, 40) for i in range(len(NAMES))]
    ids = {given['id'] for _, given in content.elements if 'id' in given}
    assert {link[1:] for link in content.of('a', 'href')} <= ids


def test_page_links_to_drawings(tiles, pictures):
    page = page_of(tiles, pictures, '--pictures', 'drawings')
    links = [link for link in Content(page).of('a', 'href') if not link.startswith('#')]
    paths = [Path('out', os.fsdecode(unquote(urlparse(link).path, errors='surrogateescape')))
             for link in links]
    assert len(paths) == len(NAMES) and {path.resolve() for path in paths} == {
        path.resolve() for path in Path('drawings').iterdir()}


def test_page_is_kept(tiles, pictures, capsys):
    before = page_of(tiles, pictures)
    assert 'out/index.html: exists already' in fails(
        capsys, 'predict', tiles, pictures, '--output', 'out/index.html')
    assert Path('out/index.html').read_text(encoding='utf-8') == before


@attr.slow
@pytest.mark.skipif(BROWSER is None, reason='needs chromium')
@pytest.mark.parametrize('width', [1280, 390])
def test_page_fits_into_a_window(width, tiles, pictures):
    """No text, table or picture is wider than the window; all pictures are shown."""
    page = html.escape(page_of(tiles, pictures, '--pictures', 'out/drawings'))
    Path('window.html').write_text(
        f'<meta charset="utf-8"><iframe width="{width}" height="9000" frameborder="0" '
        f'srcdoc="{page}"></iframe><script>window.onload = () => {{'
        'const page = document.querySelector("iframe").contentDocument;'
        'const needed = [page.documentElement, ...page.querySelectorAll(".wide")].map('
        'box => box.scrollWidth - box.clientWidth);'
        'document.documentElement.title = [Math.max(...needed), page.images.length, '
        '[...page.images].filter(img => img.naturalWidth).length] }</script>', encoding='utf-8')
    dom = open_in_browser(Path('window.html').resolve().as_uri())
    excess, n_pictures, n_shown = map(int, Content(dom).of('html', 'title')[0].split(','))
    assert excess == 0 and n_shown == n_pictures >= len(NAMES)


def open_in_browser(address):
    """The page in a browser, after its scripts have run."""
    return subprocess.run([
        BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync',
        '--user-data-dir=browser', '--window-size=1400,10000', '--virtual-time-budget=10000',
        '--dump-dom', address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
        timeout=60, encoding='utf-8').stdout
