"""The fields that say what a trial begins from, and what of it trains."""

from typing import Annotated

from annotated_types import Ge

from lbexp.config._field import ABSENT, Field, NonNegativeCount

START_FIELDS = (
    Field('init_from', {}, dict, 'the weights that a trial begins from, instead of fresh ones'),
    Field(
        'init_from.weights',
        None,
        str | None,
        "a workdir, a file of lbexp.export (safetensors, npz, msgpack), or 'this run', in trials "
        'that a study asks for later; None: fresh ones',
    ),
    Field(
        'init_from.trial',
        0,
        NonNegativeCount,
        'of that workdir; trials that begin from different ones share a program',
        traced='always',
    ),
    Field(
        'init_from.take',
        (),
        tuple[str, ...],
        "regular expressions: parameters whose path ('Dense_0/kernel') one of them matches "
        "somewhere, where one that begins with '!' excludes, and the statistics of their layers; "
        '(): all that the source has',
    ),
    Field(
        'init_from.rename',
        (),
        tuple[tuple[str, str], ...],
        'pairs (regular expression, replacement) that make names of this model from those of the '
        'source',
    ),
    Field(
        'init_from.optimizer_state',
        ABSENT,
        bool,
        'the trial goes on as its source would have, of which it takes the weights that were '
        'trained, rather than those that were evaluated, and the state of the optimizer; at a '
        'constant rate; absent: the optimizer begins anew',
    ),
    Field(
        'init_from.position',
        ABSENT,
        bool,
        'the trial goes on as its source would have, at its update: with its optimizer state, and '
        'with the examples, random numbers and rates that come next; absent: it counts from 0',
    ),
    Field(
        'freeze',
        (),
        tuple[str, ...],
        'regular expressions, as above: parameters that stay as they are, without gradient and '
        'optimizer state; (): all train',
    ),
    Field(
        'rates',
        (),
        tuple[tuple[str, Annotated[float, Ge(0)]], ...],
        'pairs (regular expression, factor of the learning rate) of parameters; the first that '
        'matches counts',
        traced='arguments',
    ),
)
