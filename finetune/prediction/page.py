"""What a model says about pictures, as one page of HTML."""
from collections import Counter
import html
import io
from urllib.parse import quote

from PIL import Image

from finetune.document import breakable, embedded, page
from finetune.names import shown

SIZE = 480          # pixels of a picture on the page, at most
STYLE = """
.pictures { display: grid; gap: 1.2rem; padding: 0;
            grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
article { border: 1px solid #ddd; border-radius: 6px; overflow: hidden; }
article h2 { font-size: .9rem; font-weight: normal; margin: 0; overflow-wrap: anywhere; }
article > :not(.picture) { margin: .6rem .8rem; }
article p { font-size: .9rem; }
.picture { position: relative; aspect-ratio: 4 / 3; background: #f3f3f3; }
.picture > * { position: absolute; width: 100%; height: 100%; object-fit: contain; }
rect { fill: none; stroke: #fff; stroke-width: 2; vector-effect: non-scaling-stroke;
       filter: drop-shadow(0 0 1px #000); }
a { color: #0b57a4; }
td img { height: 4rem; margin-right: .3rem; }
:target { background: #fff3c4; }
"""
STYLE_OF_CLASSES = """
ol.classes { list-style: none; padding: 0; }
ol.classes li { display: flex; justify-content: space-between; gap: .6rem; padding: .1rem .4rem;
                margin: .15rem 0; border-radius: 3px; font-variant-numeric: tabular-nums;
                color: #222; background: linear-gradient(#cfe3f5, #cfe3f5) no-repeat
                            0 / var(--share) 100% #f3f3f3; }
ol.classes li:first-child { font-weight: bold; }
ol.classes span { color: inherit; }     /* the page of the demo has another colour */
ol.classes span:first-child { overflow-wrap: anywhere; }
ol.classes span:last-child { white-space: nowrap; }
"""


class Page:

    """Collects answers about pictures, and writes them as a page without scripts.

    Args:
        class_names (list of str): Names of all classes.
        examples (finetune.runs.thumbnails.Examples or None): Their examples, to be shown.

    """

    def __init__(self, class_names, examples):
        self.class_names, self.examples = class_names, examples
        self._articles, self._n_of = [], Counter()

    def add(self, answer, image, drawing=None):
        """Adds a picture.

        Args:
            answer (dict): ``image``, its name; ``classes``, dicts of ``class`` and ``probability``,
                the most probable first; ``parts``, dicts of ``part`` and ``box``: y_min, x_min,
                y_max, x_max in pixels.
            image (numpy.ndarray): (3, H, W), uint8, RGB.
            drawing (str or None): Path of a drawing of its evidence, relative to the page.

        """
        name, classes, parts = _text(answer['image']), answer['classes'], answer['parts']
        first = classes[0]['class']
        self._n_of[first] += 1
        marked = f', {len(parts)} part{"s" * (len(parts) > 1)} marked' if parts else ''
        links = [(f'#class-{self.class_names.index(first) + 1}', f'examples of {_name(first)}')]
        if drawing:
            links.append((quote(drawing, errors='surrogateescape'), 'evidence'))
        self._articles.append(
            f'<article>\n<div class="picture"><img loading="lazy" src="{thumbnail(image)}" '
            f'alt="{name}: {_text(first)}{marked}">{_boxes(parts, *image.shape[1:])}</div>\n'
            f'<h2>{_name(answer["image"])}</h2>\n{listed(classes)}\n<p>' + ' · '.join(
                f'<a href="{address}">{text}</a>' for address, text in links) + '</p>\n</article>')

    def to_html(self, run_folder, unreadable=()):
        """The page.

        Args:
            run_folder (str): Name of the run.
            unreadable (sequence of str): Names of pictures that could not be read.

        """
        n = len(self._articles)
        title = f'Predicted classes of {n} picture{"s" * (n > 1)}'
        body = [f'<h1>{title}</h1>',
                f'<p>By the model <code>{_text(run_folder)}</code>, which names one of its classes '
                'for every picture, also for a picture of something else. The numbers are the '
                'probabilities that it gives. Below are <a href="#classes">all predicted '
                'classes</a> with examples.</p>']
        if unreadable:
            n = len(unreadable)
            body += [f'<p>{n} picture{"s" * (n > 1)} could not be read:</p>', '<ul>',
                     *(f'<li>{_name(name)}</li>' for name in unreadable), '</ul>']
        body += ['<main class="pictures">', *self._articles, '</main>',
                 '<h2 id="classes">Predicted classes</h2>', '<div class="wide"><table>',
                 '<tr><th>class</th><th>pictures</th><th>examples from training</th></tr>',
                 *map(self._row, sorted(self._n_of, key=self.class_names.index)), '</table></div>']
        return page(title, '\n'.join(body), STYLE + STYLE_OF_CLASSES)

    def _row(self, class_name):
        label = self.class_names.index(class_name)
        pictures = self.examples.of(label) if self.examples else []
        shown_examples = ''.join(
            f'<img src="{thumbnail(picture.transpose(2, 0, 1))}" alt="example of '
            f'{_text(class_name)}">' for picture in pictures)
        return (f'<tr id="class-{label + 1}"><td>{_name(class_name)}</td>'
                f'<td class="number">{self._n_of[class_name]}</td><td>{shown_examples}</td></tr>')


def _text(name):
    return html.escape(shown(name))


def _name(name):
    return breakable(_text(name))


def listed(classes):
    """A list of classes with bars for their probabilities, for :data:`STYLE_OF_CLASSES`."""
    rows = ''.join(f'<li style="--share: {100 * row["probability"]:.1f}%">'
                   f'<span>{_name(row["class"])}</span> '
                   f'<span>{100 * row["probability"]:.1f} %</span></li>' for row in classes)
    return f'<ol class="classes">{rows}</ol>'


def thumbnail(image):
    """The address of a picture (3, H, W), uint8, that is embedded in a page, small."""
    picture, file = Image.fromarray(image.transpose(1, 2, 0)), io.BytesIO()
    picture.thumbnail((SIZE, SIZE))
    picture.save(file, 'JPEG', quality=85)
    return embedded(file.getvalue(), 'jpeg')


def _boxes(parts, height, width):
    """The boxes of parts over a picture; a pointer on one shows its name."""
    boxes = ''.join(
        f'<rect x="{x}" y="{y}" width="{right - x}" height="{bottom - y}" pointer-events="all">'
        f'<title>{_text(part["part"])}</title></rect>'
        for part in parts for y, x, bottom, right in [part['box']])
    return boxes and f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{boxes}</svg>'
