"""Pieces of a document in Markdown, and its conversion to HTML."""
import base64
import html
from pathlib import Path
import re

import markdown

from finetune.names import shown

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
pre code { padding: 0; }
code { background: #f3f3f3; padding: 0 .2rem; border-radius: 3px; }
pre { background: #f3f3f3; padding: .6rem; overflow-x: auto; }
"""

# 12,345   -1.5   < 0.001   61.2 ± 1.8 (5)   +0.3 ... +2.1
NUMBER = r'(?:[-+]|&lt; )?[\d.,]+(?: ± [\d.]+)?(?: \(\d+\))?(?: \.\.\. [-+][\d.]+)?'


def table(header, rows):
    return '\n'.join('| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) + ' |'
                     for line in [header, ['---'] * len(header), *rows])


def literal(name):
    """Markdown that shows a name as it is."""
    text = html.escape(shown(name), quote=False)
    return re.sub(r'[\\`*\[\]]|(?<![^\W_])_|_(?![^\W_])', r'\\\g<0>', text)


def bullets(texts):
    return '\n'.join(f'- {text}' for text in texts)


def commands(*lines):
    return '\n'.join(f'    {line}' for line in lines)


def picture(name, description):
    return f'![{description}]({name})'


def to_html(text, folder):
    """Converts Markdown to a self-contained HTML file with the pictures of ``folder`` embedded.

    HTML in the text, for example in the name of a class, is escaped.
    """
    converter = markdown.Markdown(extensions=['tables'], output_format='html')
    converter.preprocessors.deregister('html_block')
    converter.inlinePatterns.deregister('html')
    body = converter.convert(text)
    body = re.sub(rf'<td>({NUMBER})</td>', r'<td class="number">\1</td>', body)
    body = re.sub(r'(?<=<t[hd]>)[^<]+', lambda match: breakable(match[0]), body)
    body = body.replace('<table>', '<div class="wide"><table>')
    body = body.replace('</table>', '</table></div>')
    body = re.sub(r'src="([^"]+)"', lambda match: 'src="{}"'.format(
        embedded((Path(folder) / match[1]).read_bytes())), body)
    return page(text.splitlines()[0].lstrip('# '), body)


def page(title, body, style=''):
    """An HTML page of a title (text) and a body (HTML); ``style`` is CSS beside STYLE."""
    return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{html.escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n'
            f'{body}\n</body>\n</html>\n')


def embedded(picture, kind='png'):
    """The address of a picture (bytes) that is embedded in a page."""
    return f'data:image/{kind};base64,{base64.b64encode(picture).decode()}'


def breakable(text):
    """Allows line breaks inside the long names of an HTML text, so that it fits."""
    return re.sub(r'([_./])(?=\w)', r'\1<wbr>', text)
