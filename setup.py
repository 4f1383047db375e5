"""What pyproject.toml cannot say: the configs beside the packages are installed, too."""
from pathlib import Path
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGS = Path(__file__).resolve().parent / 'configs'


class BuildWithConfigs(build_py):

    """Adds the configs to the program unless it is installed as a link to its sources."""

    def run(self):
        super().run()
        if not self.editable_mode:
            shutil.copytree(CONFIGS, Path(self.build_lib, 'finetune', 'configs'),
                            dirs_exist_ok=True)


setup(cmdclass={'build_py': BuildWithConfigs})
