"""A table of how the time for a picture is spent, by its size."""
from pathlib import Path

OUTPUT = Path('results/benchmarks')
SIZES = 299, 427        # pixels


def write(name, steps, seconds_of):
    """Prints the table and writes it to ``results/benchmarks/<name>.md``.

    Args:
        name (str): Name of the file.
        steps (tuple of str): Names of the steps.
        seconds_of (callable): Function of a size that gives the seconds of each step by name.

    """
    lines = ['| pixels | ' + ' | '.join(steps) + ' | together |', '|---' * (len(steps) + 2) + '|']
    for size in SIZES:
        times = seconds_of(size)
        cells = [str(size), *(f'{times[step]:.3f}' for step in steps), f'{sum(times.values()):.2f}']
        lines.append(f'| {" | ".join(cells)} |')
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / f'{name}.md').write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))
