"""The streams of a classifier, whose names are keys of scores, accuracies and predictions."""

STREAMS = {'both': 'both streams', 'global': 'global stream alone', 'parts': 'part stream alone'}
BESIDE = {**STREAMS, 'both': 'with the whole image'}    # labels beside another stream's accuracy
COMPARED = {stream: STREAMS[stream] for stream in ('both', 'parts')}    # streams in reports
