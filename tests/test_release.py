"""The files that a release needs: citation, workflows and forms for issues."""
import os
from pathlib import Path
import subprocess

import pytest
import yaml

import fve_layer

ROOT = Path(__file__).resolve().parents[1]
RELEASE = {'GITHUB_REF_NAME': 'v' + fve_layer.__version__, 'GITHUB_SERVER_URL': 'https://host',
           'GITHUB_REPOSITORY': 'us/fve_layer'}
FIELDS = 'repository-code: https://host/us/fve_layer\ndoi: 10.5281/zenodo.1\n'


def read(path):
    return yaml.safe_load((ROOT / path).read_text(encoding='utf-8'))


def test_citation_is_that_of_the_version():
    citation = read('CITATION.cff')
    assert citation['version'] == fve_layer.__version__
    assert citation['cff-version'] and citation['authors'] and citation['license'] == 'MIT'
    assert citation['preferred-citation']['doi'] == '10.1007/978-3-030-92659-5_9'


@pytest.mark.parametrize('without, variables', [
    ('', {}), ('repository-code', {}), ('doi', {}), ('', {'GITHUB_REF_NAME': 'v99.0'}),
    ('', {'GITHUB_REPOSITORY': 'them/fve_layer'})])
def test_release_wants_the_citation_of_its_tag(without, variables, tmp_path):
    steps = read('.github/workflows/release.yml')['jobs']['release']['steps']
    check, = (step['run'] for step in steps if 'citation' in step.get('name', ''))
    before = (ROOT / 'CITATION.cff').read_text(encoding='utf-8')
    fields = [line for line in FIELDS.splitlines() if not (without and line.startswith(without))]
    (tmp_path / 'CITATION.cff').write_text('\n'.join([*fields, before]))
    (tmp_path / 'CHANGELOG.md').write_text(f'## {fve_layer.__version__}\n')
    process = subprocess.run(['bash', '-e', '-c', check], cwd=tmp_path, capture_output=True,
                             env={**os.environ, **RELEASE, **variables})
    assert (process.returncode == 0) == (not without and not variables)


@pytest.mark.parametrize('path', sorted((ROOT / '.github/ISSUE_TEMPLATE').glob('*.yml')),
                         ids=lambda path: path.stem)
def test_form_of_an_issue(path):
    form = read(path)
    if path.stem == 'config':
        assert form == {'blank_issues_enabled': True}
        return
    assert form.keys() == {'name', 'description', 'labels', 'body'}
    assert all(field['type'] in ('textarea', 'input') and field['attributes']['label'] and
               field['validations'] == {'required': True} for field in form['body'])
    ids = [field['id'] for field in form['body']]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize('path', sorted((ROOT / '.github/workflows').glob('*.yml')),
                         ids=lambda path: path.stem)
def test_files_that_a_workflow_runs_exist(path):
    for job in read(path)['jobs'].values():
        for step in job['steps']:
            for word in step.get('run', '').split():
                if word.startswith(('tools/', 'tests/', './')):
                    assert (ROOT / word).is_file(), word
