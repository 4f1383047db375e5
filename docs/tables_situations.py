"""The table of all claims in all situations."""
from compare_experiments import compare
import tables_pretrained_cnn as pretrained_cnn
import tables_small_cnn as small_cnn
from table_cells import difference, in_paper, so_far, VERDICTS


def claims_in_situations():
    yield ('claim', 'CUB-200-2011, published', 'pre-trained CNN', 'small CNN, 16 epochs',
           'small CNN, 64 epochs')
    pretrained = pretrained_cnn.compared(pretrained_cnn.CLAIMS)
    in_16, in_64 = small_cnn.both_times(), small_cnn.in_64_epochs()
    in_16['gt2_recommended_k20', 'gt2_fve_k20'] = small_cnn.recommended_above_the_papers()
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


def cell(one, result=''):
    if one is None:
        return ''
    return so_far(one.n_pairs) or f'{result or f"**{VERDICTS[one.verdict]}**"}, {difference(one)}'


TABLES = claims_in_situations,
