"""Settings of the documentation site.

    pip install -e .[docs]
    python -m sphinx -W --keep-going docs site
"""
import pkgutil

import finetune
import fve_layer    # before anything imports Chainer

project = 'fve_layer'
author = 'the fve_layer authors'
copyright = f'2026, {author}'
version = release = fve_layer.__version__

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.mathjax',
              'sphinx.ext.viewcode']
exclude_patterns = ['_build']

autodoc_mock_imports = ['torch']        # fve_layer.torch quotes 'Tensor | None' for this
autodoc_default_options = {'members': True, 'show-inheritance': True}
autodoc_member_order = 'bysource'
autodoc_inherit_docstrings = False      # Chainer's would appear below every method of a link
autodoc_typehints = 'none'              # docstrings have types and shapes
napoleon_numpy_docstring = False
napoleon_use_ivar = True                # attributes in a list, as arguments are
myst_heading_anchors = 3                # for links into a page, as GitHub has them
smartquotes = False                     # commands keep their quotes and --
nb_execution_mode = 'off'               # a test runs the notebooks; their outputs are saved

html_theme = 'furo'
html_title = f'{project} {version}'
html_static_path = ['static']
html_css_files = ['site.css']


def skip_tuple_fields(app, what, name, member, skip, options):
    """The fields of a named tuple, of which Python says 'Alias for field number 0'."""
    return True if type(member).__name__ == '_tuplegetter' else None


def list_modules(app, docname, content):
    """Adds all modules of the program to its page, which is read anew in every build."""
    if docname == 'api/finetune':
        app.env.note_reread()
        for _, name, _ in pkgutil.walk_packages(finetune.__path__, 'finetune.'):
            if not name.endswith('__main__'):
                marks = '-~^'[name.count('.') - 1] * len(name)
                content[0] += f'{name}\n{marks}\n\n.. automodule:: {name}\n\n'


def setup(app):
    app.connect('source-read', list_modules)
    app.connect('autodoc-skip-member', skip_tuple_fields)
