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
from collections.abc import Sequence
from typing import Any

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
    if schema.get('unit') not in ('words', 'bytes'):
        name = trial.config['workload']['name']
        raise Refusal(f'workload {name}: it writes no texts; allowed: a language model')
    from lbexp.datasets import _texts

    names = trial.output_names
    prompt = _texts.ids_of(flag_values.prompt, names, schema['unit'])
    texts = []
    for sample in range(flag_values.samples):
        draw = _Draw(flag_values.temperature, flag_values.top_k, (flag_values.seed, sample))
        texts.append(continued(trial, prompt, flag_values.tokens, draw, _texts.stops(names)))
        print(_texts.spelled(names, texts[-1], schema['unit']), flush=True)
    _tell(trial, texts)
    return DONE


class _Draw:
    """One token from logits."""

    def __init__(self, temperature, top_k, seed):
        self._temperature, self._top_k, self._seed = temperature, top_k, seed

    def token(self, logits: np.ndarray, position: int) -> int:
        """The token for a position; -inf is never drawn."""
        if self._temperature == 0:
            return int(logits.argmax())
        logits = logits / self._temperature
        if 0 < self._top_k < len(logits):
            # Ties with the last of them stay: a choice among them would be one by id.
            least = np.partition(logits, -self._top_k)[-self._top_k]
            logits = np.where(logits >= least, logits, -np.inf)
        weights = np.exp(logits - logits.max())
        # Of seed, text and position alone: a text is the same however many are written.
        generator = np.random.default_rng([*self._seed, position])
        return int(generator.choice(len(weights), p=weights / weights.sum()))


def continued(
    trial: Any, prompt: Sequence[int], count: int, draw: _Draw, stops: tuple[set[int], set[int]]
) -> list[int]:
    """The prompt and up to `count` tokens after it, until an end is drawn.

    A model sees the last tokens that fit into one of its rows.

    Args:
        trial: of a language model.
        stops: ids that end a text, and ids that are never drawn.
    """
    ends, never = stops
    length = trial.workload.train.arrays['tokens'].shape[1]
    tokens = list(prompt)
    for position in range(count):
        # A row is as long as those that were trained on; what does not fit is forgotten.
        window = tokens[-length:]
        row = np.zeros((1, length), np.int32)
        segments = np.zeros((1, length), np.int32)
        row[0, : len(window)] = window
        segments[0, : len(window)] = 1
        logits = trial.predict({'tokens': row, 'segments': segments})[0, len(window) - 1]
        logits = np.asarray(logits, np.float64)
        logits[list(never)] = -np.inf
        token = draw.token(logits, position)
        if token in ends:
            break
        tokens.append(token)
    return tokens


def _tell(trial, texts):
    """Copies of training texts, and how various the texts are."""
    training = _training_texts(trial.workload.train.arrays)
    copies = sum(tuple(text) in training for text in texts)
    pairs = [pair for text in texts for pair in itertools.pairwise(text)]
    various = f', distinct-2 {len(set(pairs)) / len(pairs):.2f}' if pairs else ''
    print(f'{copies} of {len(texts)} are texts of the training set{various}', file=sys.stderr)


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
