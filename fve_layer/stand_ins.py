"""Stand-ins for missing modules, with the names that Chainer and ChainerCV use."""
import importlib.metadata
import types
from typing import Any

import numpy


def module(name: str, **contents: Any) -> types.ModuleType:
    """Makes a module with the given contents."""
    made = types.ModuleType(name)
    vars(made).update(contents)
    return made


def pkg_resources(name: str) -> types.ModuleType:
    """``pkg_resources`` as in setuptools before 82."""
    class ResolutionError(Exception):
        pass

    def require(*requirements):
        from packaging.requirements import Requirement
        for requirement in map(Requirement, requirements):
            try:
                version = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError as error:
                raise ResolutionError(str(requirement)) from error
            if not requirement.specifier.contains(version, prereleases=True):
                raise ResolutionError(str(requirement))

    class WorkingSet:
        def require(self, *requirements):
            require(*requirements)

    return module(name, require=require, get_distribution=importlib.metadata.distribution,
                  WorkingSet=WorkingSet, ResolutionError=ResolutionError)


def distutils_util(name: str) -> types.ModuleType:
    """``distutils.util`` as in Python before 3.12."""
    def strtobool(text):
        words = {'y': 1, 'yes': 1, 't': 1, 'true': 1, 'on': 1, '1': 1,
                 'n': 0, 'no': 0, 'f': 0, 'false': 0, 'off': 0, '0': 0}
        if text.lower() not in words:
            raise ValueError(f'invalid truth value {text!r}')
        return words[text.lower()]

    return module(name, strtobool=strtobool)


def nms_gpu_post(name: str) -> types.ModuleType:
    """ChainerCV's C extension for the last step of non-maximum suppression on a GPU."""
    def nms(mask, n_bbox, threads_per_block, col_blocks):
        # mask (n_bbox * col_blocks,): bit j of row i says that box i suppresses box j.
        mask = mask.reshape(n_bbox, col_blocks)
        suppressed = numpy.zeros(col_blocks, dtype=numpy.uint64)
        selection = numpy.zeros(n_bbox, dtype=numpy.int32)
        n_selection = 0
        for i in range(n_bbox):
            block, bit = divmod(i, threads_per_block)
            if not int(suppressed[block]) >> bit & 1:
                selection[n_selection] = i
                n_selection += 1
                suppressed[block:] |= mask[i, block:]
        return selection, n_selection

    return module(name, _nms_gpu_post=nms)
