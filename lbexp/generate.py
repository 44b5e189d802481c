"""Writes texts with a trained language model.

    python -m lbexp.generate --workdir=runs/titles_lstm-... --prompt='tool for' --samples=5
    python -m lbexp.generate --workdir=runs/sotu_lm-... --temperature=0.7 --top_k=20 --tokens=100

A text a line; what is drawn is a function of --seed, the text's number and the position. On
standard error: how many of the texts are whole texts of the training set, which a model that copies
writes, and distinct-2, the share of pairs of tokens that are different (Li et al. 2016,
arXiv:1510.03055).
What a workdir names outside lbexp runs only where --config names it too, or with --trust_workdir.
Exit status: 0 done, 1 the disk or a part failed, 2 something given is wrong, 3 the checkpoints are
damaged.
"""

import itertools
import signal
import sys

import numpy as np
from absl import flags

from lbexp import flag_command
from lbexp.errors import Refusal
from lbexp.exit_status import DONE
from lbexp.output import outlive_readers
from lbexp.trained_flags import command_flags, opened


def main(argv: list[str]) -> int:
    """Parses, generates, prints. Returns the exit status."""
    flag_values = command_flags()
    _define(flag_values)

    def act(overrides, words):
        return _generate(flag_values, overrides)

    return flag_command.run(argv, __doc__, flag_values, act)


def _define(flag_values):
    texts = {'prompt': 'what each text begins with'}
    for name, meaning in texts.items():
        flags.DEFINE_string(name, '', meaning, flag_values=flag_values)
    counts = {
        'samples': (1, 'texts', 1),
        'tokens': (40, 'at most so many tokens after the prompt', 1),
        'top_k': (0, 'draw among the most probable so many tokens; 0: among all', 0),
        'seed': (0, 'of the draws', 0),
    }
    for name, (default, meaning, least) in counts.items():
        flags.DEFINE_integer(name, default, meaning, lower_bound=least, flag_values=flag_values)
    meaning = 'probabilities are p^(1 / temperature), normalized; 0: the most probable token'
    flags.DEFINE_float('temperature', 1.0, meaning, lower_bound=0.0, flag_values=flag_values)


def _generate(flag_values, overrides):
    run = opened(flag_values, overrides)
    number = flag_values.trial
    if number is None:
        if len(run.trials) > 1:
            raise Refusal(f'--trial: not given; allowed: one of {len(run.trials)} trials')
        (number,) = run.trials
    trial = run.trial(number)
    schema = trial.workload.schema
    if schema.get('unit') not in ('words', 'bytes', 'numbers'):
        name = trial.config['workload']['name']
        raise Refusal(f'workload {name}: it writes no texts; allowed: a language model')
    from lbexp.datasets import _texts
    from lbexp.trained.continuation import Draw, continued

    names = trial.output_names
    prompt = _texts.ids_of(flag_values.prompt, names, schema['unit'])
    texts = []
    for sample in range(flag_values.samples):
        draw = Draw(flag_values.temperature, flag_values.top_k, (flag_values.seed, sample))
        texts.append(continued(trial, prompt, flag_values.tokens, draw, _texts.stops(names)))
        print(_texts.spelled(names, texts[-1], schema['unit']), flush=True)
    _tell(trial, texts)
    return DONE


def _tell(trial, texts):
    """Copies of training texts, and how various the texts are."""
    sentences = []
    train = trial.workload.train
    if train.feed is None:  # a stream is not there to be searched
        training = _training_texts(train.arrays)
        copies = sum(tuple(text) in training for text in texts)
        sentences.append(f'{copies} of {len(texts)} are texts of the training set')
    pairs = [pair for text in texts for pair in itertools.pairwise(text)]
    if pairs:
        sentences.append(f'distinct-2 {len(set(pairs)) / len(pairs):.2f}')
    if sentences:
        print(', '.join(sentences), file=sys.stderr)


def _training_texts(arrays):
    """The sequences of the rows, as tuples of tokens."""
    texts = set()
    for tokens, segments in zip(arrays['tokens'], arrays['segments'], strict=True):
        begins = np.flatnonzero(np.diff(segments, prepend=0))
        for part, segment in zip(np.split(tokens, begins), np.split(segments, begins)):
            if len(part) and segment[0] > 0:
                texts.add(tuple(part.tolist()))
    return texts


if __name__ == '__main__':
    outlive_readers()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to save
    sys.exit(main(sys.argv))
