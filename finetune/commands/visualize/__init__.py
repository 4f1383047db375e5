"""The command ``visualize``: a file per kind of picture or video."""
from finetune.commands import options as shared
from finetune.commands.visualize import confusion, em, mistakes, mixture, parts

HELP = 'make videos and pictures'
DESCRIPTION = 'Makes videos and pictures.'


def add_arguments(parser):
    shared.add_commands(parser, 'what', (em, parts, mixture, confusion, mistakes))
