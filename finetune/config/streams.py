"""The streams of a classifier, which scores, accuracies and predictions are named by."""

STREAMS = {'both': 'both streams', 'global': 'global stream alone', 'parts': 'part stream alone'}
BESIDE = {**STREAMS, 'both': 'with the whole image'}    # beside the accuracy of another stream
COMPARED = {stream: STREAMS[stream] for stream in ('both', 'parts')}    # by reports
