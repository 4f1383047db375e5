"""Writes the tables of results into README and pages, from the runs.csv of the reports.

    python docs/make_results.py

A table stands between <!-- results: name --> and <!-- end of results -->.
"""
from pathlib import Path
import re

import tables_photographs
import tables_pretrained_cnn
import tables_situations
import tables_small_cnn
from finetune import document

DOCS = Path(__file__).resolve().parent
PAGES = [DOCS.parent / 'README.md', *(DOCS / f'{name}.md' for name in (
    'claims', 'explanations', 'appendix', 'report_pretrained_cnn/report',
    'report_photographs/report'))]
REPORTS = [*tables_small_cnn.REPORTS, tables_pretrained_cnn.REPORT, tables_photographs.REPORT]
MODULES = tables_situations, tables_small_cnn, tables_pretrained_cnn, tables_photographs
TABLES = {table.__name__: table for module in MODULES for table in module.TABLES}


def filled(text):
    """A page's text with its tables as the runs give them."""
    def table(match):
        header, *rows = TABLES[match[2]]()
        return f'{match[1]}\n{document.table(header, rows)}\n\n'
    return re.sub(r'(<!-- results: (\w+) -->\n).*?(?=<!-- end of results -->)', table, text,
                  flags=re.DOTALL)


if __name__ == '__main__':
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding='utf-8')), encoding='utf-8')
