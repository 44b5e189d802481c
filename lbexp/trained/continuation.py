"""Texts from a trained language model, a token after another."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np


class Draw:
    """One token from logits."""

    def __init__(self, temperature: float, top_k: int, seed: Sequence[int]):
        """Probabilities are p^(1 / temperature), normalized, among the top_k most probable (0:
        all); temperature 0: the most probable token. What is drawn is a function of the seed and
        the position."""
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
        generator = np.random.default_rng([*self._seed, position])
        return generator.choice(len(weights), p=weights / weights.sum())


def continued(
    trial: Any, prompt: Sequence[int], count: int, draw: Draw, stops: tuple[set[int], set[int]]
) -> list[int]:
    """The prompt and up to `count` tokens after it, until an end is drawn.

    A model sees the last tokens that fit into one of its rows.

    Args:
        trial: of a language model.
        stops: ids that end a text, and ids that are never drawn.
    """
    ends, never = stops
    length = _row_length(trial.workload.train)
    tokens = list(prompt)
    for position in range(count):
        # A row is as long as those that were trained on; what does not fit is forgotten.
        window = tokens[-length:]
        # Always of one shape, which is compiled once; the padding is another segment.
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


def _row_length(source):
    """Positions of a row, of a stream too."""
    seed, positions = np.uint32(0), np.zeros(1, np.uint32)
    return jax.eval_shape(source.draw, source.arrays, seed, positions)['tokens'].shape[1]
