"""Settings of the documentation site.

    pip install -e .[docs]
    python -m sphinx -W --keep-going docs site
"""
import fve_layer    # before anything imports Chainer

project = 'fve_layer'
author = 'the fve_layer authors'
copyright = f'2026, {author}'
version = release = fve_layer.__version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.mathjax',
              'sphinx.ext.viewcode']
exclude_patterns = ['_build']

autodoc_default_options = {'members': True, 'show-inheritance': True}
autodoc_member_order = 'bysource'
autodoc_inherit_docstrings = False      # Chainer's would appear below every method of a link
autodoc_typehints = 'none'              # docstrings have types and shapes
napoleon_numpy_docstring = False
napoleon_use_ivar = True                # attributes in a list, as arguments are
myst_heading_anchors = 3                # for links into a page, as GitHub has them

html_theme = 'furo'
html_title = f'{project} {version}'


def skip_tuple_fields(app, what, name, member, skip, options):
    """The fields of a named tuple, of which Python says 'Alias for field number 0'."""
    return True if type(member).__name__ == '_tuplegetter' else None


def setup(app):
    app.connect('autodoc-skip-member', skip_tuple_fields)
