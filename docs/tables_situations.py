"""The table of all claims in all situations."""
from compare_experiments import compare
import tables_pretrained_cnn as pretrained_cnn
import tables_small_cnn as small_cnn
from table_cells import difference, in_paper, mean, so_far, VERDICTS


def claims_in_situations():
    yield ('claim', 'CUB-200-2011, published', 'pre-trained CNN', 'small CNN, 16 epochs',
           'small CNN, 64 epochs')
    pretrained = pretrained_cnn.compared(pretrained_cnn.CLAIMS)
    in_16, in_64 = small_cnn.in_16_epochs(), small_cnn.in_64_epochs()
    for words, names in pretrained_cnn.CLAIMS.items():
        pair = tuple(names.split())
        k = int(words.rpartition('K = ')[2]) if words.startswith('(c)') else None
        yield (words, in_paper(pair), cell(pretrained.get(words)), cell(in_16.get(pair)),
               cell(in_64.get((k, 'both'))))
    recommended = pretrained_cnn.compared(pretrained_cnn.RECOMMENDED)
    for words, names in pretrained_cnn.RECOMMENDED.items():
        small = compare(*(f'minibirds/{name}' for name in names.split()), [small_cnn.RECOMMENDED])
        yield (words, '', *(cell(one, one and pretrained_cnn.not_below(one))
                            for one in (recommended.get(words), small)), '')


def claims_in_short():
    """README's table: mean accuracies, and what is shown."""
    yield ('claim', 'pre-trained CNN: 1st', '2nd', 'result', 'small CNN: 1st', '2nd', 'result')
    pretrained, in_16 = (pretrained_cnn.compared(pretrained_cnn.CLAIMS),
                         small_cnn.in_16_epochs())
    for words, names in pretrained_cnn.CLAIMS.items():
        yield words, *(text for one in (pretrained[words], in_16[tuple(names.split())])
                       for text in (*map(mean, one.samples), so_far(one.n_pairs)
                                    or f'**{VERDICTS[one.verdict]}**'))


def cell(one, result=''):
    if one is None:
        return ''
    return so_far(one.n_pairs) or f'{result or f"**{VERDICTS[one.verdict]}**"}, {difference(one)}'


TABLES = claims_in_situations, claims_in_short
