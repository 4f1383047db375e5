"""The command ``visualize confusion``: what a model confuses."""
from finetune.commands import options as shared

HELP = 'tabulate and draw the classes that a model confuses'
DESCRIPTION = ('Writes into the folder of the run, for the test images: the confusion matrix '
               '(confusion.csv, confusion_matrix.png), precision and recall of each class '
               '(classes.csv), and a picture of the classes that are confused most often, with '
               'examples and mistakes (confusion.png).')

add_arguments = shared.add_results


def run(options):
    from finetune.visualize import confusion
    confusion.make(options.results, options.gpu, options.project)
