"""Builds the sdist and the wheel of the last commit; twice, they are the same byte for byte.

    pip install build
    python tools/build.py dist

Times in the archives are that of the commit, owners are nobody. Exit code 1: a build fails, or the
two differ.
"""
import argparse
import gzip
import hashlib
import io
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tarfile
import tempfile

PROJECT = Path(__file__).resolve().parents[1]


def output_of(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, **options)
    if result.returncode:
        sys.exit(f'{" ".join(command[:4])} failed:\n{result.stderr or result.stdout}')
    return result.stdout


def build(folder):
    """Builds both from a clone in a folder; returns their paths."""
    clone, out = folder / 'clone', folder / 'out'
    output_of('git', 'clone', '--quiet', str(PROJECT), str(clone))
    time = output_of('git', 'log', '-1', '--format=%ct', cwd=clone).strip()
    output_of(sys.executable, '-m', 'build', '--outdir', str(out), str(clone),
              env={**os.environ, 'SOURCE_DATE_EPOCH': time})
    sdist, wheel = next(out.glob('*.tar.gz')), next(out.glob('*.whl'))
    normalise(sdist, int(time))
    return sdist, wheel


def normalise(sdist, time):
    """Rewrites an sdist, in which setuptools leaves the times and the owner of the build."""
    content = io.BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=content, mode='w') as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            file = old.extractfile(member) if member.isfile() else None
            member.mtime, member.uid, member.gid, member.uname, member.gname = time, 0, 0, '', ''
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, file)
    with open(sdist, 'wb') as raw, gzip.GzipFile('', 'wb', 9, raw, mtime=time) as file:
        file.write(content.getvalue())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('output', type=Path, help='folder for both')
    output = parser.parse_args().output
    status = 0
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        output.mkdir(parents=True, exist_ok=True)
        for path, again in zip(build(Path(first)), build(Path(second))):
            is_same = path.read_bytes() == again.read_bytes()
            print(f'{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}'
                  f'{"" if is_same else ": DIFFERS in a second build"}')
            shutil.copy(path, output)
            status |= not is_same
    return int(status)


if __name__ == '__main__':
    sys.exit(main())
