"""Settings, annotations and images."""
from pathlib import Path
import time

from common import command, CONFIG, damaged, problem_of, SETTINGS, tried
from finetune.config.config import read_config
from finetune.data import readers

SCALARS = ['2020-13-45', '!!int abc', '!!bool x', '!!timestamp x', '0x_', '9' * 6000, '[' * 3000,
           '&a [*a]', '{? [a]: 1}', '1e999', '.nan', '~', '""', '-1', '[-1]', '{a: 1}', '\\0', '*b',
           '!!python/object/apply:os.getcwd []', 'true', '1_0', '@', '- -', '<<: 1', '0b_']
SECONDS = 3     # that malformed settings may take, on a busy machine


def settings(random):
    """Malformed values of random settings, by --set and in files."""
    names = [f'{section}.{name}' for section, tree in SETTINGS.items() for name in tree]
    for i in range(300):
        value, name = SCALARS[random.randint(len(SCALARS))], names[random.randint(len(names))]
        started = time.monotonic()
        if i % 2:
            problem = tried(lambda: read_config(CONFIG, [f'{name}={value}']) and None)
        else:
            text = CONFIG.read_text()
            place = random.randint(len(text))
            Path('malformed.yml').write_text(text[:place] + value + text[place:])
            problem = tried(lambda: read_config('malformed.yml') and None)
        yield problem or (f'{value[:20]} took seconds' if time.monotonic() - started > SECONDS
                          else None)


def annotations(random):
    """Damaged annotation files and images: doctor says whether training starts."""
    images = [record.path for record in readers.load(read_config(CONFIG).data).train]
    paths = [path for path in sorted(Path('birds').rglob('*')) if path.suffix == '.txt']
    for i in range(200):
        path = paths[random.randint(len(paths))] if i % 2 else images[random.randint(len(images))]
        content = path.read_bytes()
        path.write_bytes(damaged(content, random))
        ends = {name: command(*arguments) for name, arguments in {
            'doctor': ('doctor', CONFIG),
            'train': ('train', CONFIG, '--set', 'training.epochs=1', '--output', f'birds{i}'),
        }.items()}
        path.write_bytes(content)
        problem = next(filter(None, (problem_of(*end) for end in ends.values())), None)
        codes = {name: code for name, (code, _) in ends.items()}
        if not problem and len(set(codes.values())) > 1:
            problem = f'{path}: {codes} {ends["train"][1]}'
        yield problem
