"""The page that classifies pictures dropped on it: the same answers, on this machine only."""
import http.client
import os
from pathlib import Path
import signal
import socket
import subprocess
import sys

import pytest

from chainer.testing import attr
from conftest import fails, load
import finetune
from finetune.runs.folder import RunFolder
from test_page import BROWSER, Content, open_in_browser


def test_without_gradio(finished_gap, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    assert fails(capsys, 'demo', finished_gap, '--no-browser') == (
        "finetune: demo needs gradio; pip install 'gradio>=6,<7'.\n")


@pytest.fixture(scope='module')
def served(finished_gap, tmp_path_factory):
    """Port of a page of a run, which then ends by Ctrl-C."""
    pytest.importorskip('gradio')
    temporary = tmp_path_factory.mktemp('temporary')
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(command(finished_gap, port), stdout=subprocess.PIPE,
                               encoding='utf-8', env={**os.environ, 'TMPDIR': str(temporary)})
    try:
        assert process.stdout.readline().startswith(f'http://127.0.0.1:{port} ')
        yield port
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not list(temporary.iterdir())       # no picture is left
    finally:
        process.kill()
        process.wait()


def command(folder, port):
    return [sys.executable, '-m', 'finetune', 'demo', folder, '--port', str(port), '--no-browser']


def answer_to(port, host):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=30)
    connection.request('GET', '/', headers={'Host': host})
    return connection.getresponse()


@attr.slow
def test_page_classifies_as_predict_does(served, finished_gap, tmp_path):
    from gradio_client import Client, handle_file
    client = Client(f'http://127.0.0.1:{served}', verbose=False, download_files=str(tmp_path))
    model = finetune.load(finished_gap)
    for record in load(RunFolder(finished_gap).read_config().data).test[:2]:
        classes, evidence = client.predict(handle_file(str(record.path)), api_name='/classify')
        prediction = model.predict([record.path])
        for label in range(len(model.class_names)):
            assert (f'{model.class_names[label]} {100 * prediction.probabilities[0, label]:.1f} %'
                    in Content(classes).text)
        assert Path(evidence).stat().st_size > 1000
    Path(tmp_path, 'text.png').write_text('text')
    with pytest.raises(Exception):      # noqa: B017  (the page goes on)
        client.predict(handle_file(str(tmp_path / 'text.png')), api_name='/classify')
    assert client.predict(None, api_name='/classify')[0] in (None, '')


@attr.slow
def test_page_answers_this_machine_only(served, finished_gap):
    """Not under another address, nor under a name that another site has given to this one."""
    answer = answer_to(served, f'127.0.0.1:{served}')
    assert answer.status == 200
    assert answer.headers['Content-Security-Policy'].startswith("default-src 'self' ")
    assert 'fonts.googleapis' not in answer.read().decode()
    assert answer_to(served, 'example.org').status == 400
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(('127.0.0.2', served), timeout=10)
    other = subprocess.run(command(finished_gap, served), capture_output=True, encoding='utf-8')
    assert other.returncode == 2 and other.stderr.endswith(
        f'--port {served}: another program uses this port; give another --port.\n')


@attr.slow
@pytest.mark.skipif(BROWSER is None, reason='needs chromium')
def test_page_shows_mistakes(served, finished_gap, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = RunFolder(finished_gap).read_predictions()
    n_wrong = (columns['label'] != columns['both']).sum()
    dom = open_in_browser(f'http://127.0.0.1:{served}')
    assert f'{n_wrong} of {len(columns["label"])} test images are misclassified' in dom
