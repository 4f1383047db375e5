"""A report as a list of blocks, and how they become Markdown and one HTML file."""
import base64
import html
from pathlib import Path
import re
from typing import NamedTuple

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; }
h1, h2, h3 { line-height: 1.2; margin: 2rem 0 .6rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left;
         vertical-align: top; }
td.number { text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #888; }
img { max-width: 100%; height: auto; }
td code { white-space: nowrap; }
code { background: #f3f3f3; padding: 0 .2rem; border-radius: 3px; }
pre { background: #f3f3f3; padding: .6rem; overflow-x: auto; }
"""

# 12,345   -1.5   < 0.001   61.2 ± 1.8 (5)   +0.3 ... +2.1
NUMBER = re.compile(r'[-+<]? ?[\d.,]+( ± [\d.]+)?( \(\d+\))?( \.\.\. [-+][\d.]+)?')


class Heading(NamedTuple):
    """A heading of level 1, 2 or 3."""

    level: int
    text: str

    def markdown(self):
        return f'{"#" * self.level} {self.text}'

    def html(self, folder):
        return f'<h{self.level}>{_inline(self.text)}</h{self.level}>'


class Paragraph(NamedTuple):
    """Text, with code between backticks and **bold** words."""

    text: str

    def markdown(self):
        return self.text

    def html(self, folder):
        return f'<p>{_inline(self.text)}</p>'


class Items(NamedTuple):
    """A list."""

    items: list

    def markdown(self):
        return '\n'.join(f'- {item}' for item in self.items)

    def html(self, folder):
        return '<ul>' + ''.join(f'<li>{_inline(item)}</li>\n' for item in self.items) + '</ul>'


class Commands(NamedTuple):
    """Lines to type."""

    text: str

    def markdown(self):
        return '\n'.join(f'    {line}' for line in self.text.splitlines())

    def html(self, folder):
        return f'<pre>{html.escape(self.text)}</pre>'


class Table(NamedTuple):
    """Rows of texts below a header."""

    header: list
    rows: list

    def markdown(self):
        lines = [self.header, ['---'] * len(self.header), *self.rows]
        return '\n'.join('| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) + ' |'
                         for line in lines)

    def html(self, folder):
        head = ''.join(f'<th>{_breakable(_inline(cell))}</th>' for cell in self.header)
        body = ''.join('<tr>' + ''.join(map(_cell, row)) + '</tr>\n' for row in self.rows)
        return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


class Picture(NamedTuple):
    """A PNG in the report's folder."""

    name: str
    description: str

    def markdown(self):
        return f'![{self.description}]({self.name})'

    def html(self, folder):
        data = base64.b64encode((Path(folder) / self.name).read_bytes()).decode()
        return (f'<p><img alt="{html.escape(self.description)}" '
                f'src="data:image/png;base64,{data}"></p>')


def to_markdown(blocks):
    """Text of a Markdown file."""
    return '\n\n'.join(block.markdown() for block in blocks) + '\n'


def to_html(blocks, folder):
    """Text of an HTML file that needs no other: pictures in ``folder`` are put into it."""
    body = '\n'.join(block.html(folder) for block in blocks)
    return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{html.escape(blocks[0].text)}</title>\n<style>{STYLE}</style>\n</head>\n'
            f'<body>\n{body}\n</body>\n</html>\n')


def _cell(text):
    if NUMBER.fullmatch(text):
        return f'<td class="number">{_inline(text)}</td>'
    return f'<td>{_inline(text) if text.startswith("`") else _breakable(_inline(text))}</td>'


def _breakable(text):
    """Lets a browser break long names at their seams, so that wide tables fit."""
    return re.sub(r'(?<!<)([_./])(?=\w)', r'\1<wbr>', text)


def _inline(text):
    text = html.escape(text, quote=False)
    text = re.sub(r'`([^`]+)`', r'<code>\1</code>', text)
    return re.sub(r'\*\*([^*]+)\*\*', r'<b>\1</b>', text)
