"""Parts by name: which functions are found, and what they are."""

import pytest

from lbexp import config as configs
from lbexp.config import check, lookup
from lbexp.errors import Refusal


def test_lookup_reaches_outside():
    import optax

    assert lookup.find('optimizer', 'optax:adamw') is optax.adamw
    assert lookup.find('optimizer', 'os.path:join').__name__ == 'join'


def test_a_part_is_what_its_annotation_says(tmp_path, monkeypatch):
    """Outside lbexp too: known from the annotation, else from what the function returns."""
    (tmp_path / 'parts_of_mine.py').write_text(
        'import optax\n'
        'def annotated(learning_rate) -> optax.GradientTransformation: return '
        'optax.sgd(learning_rate)\n'
        'def bare(learning_rate): return optax.sgd(learning_rate)\n'
        'def schedule() -> optax.Schedule: return lambda count: 1.0\n'
        'def nothing(learning_rate): pass\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ('annotated', 'bare'):
        assert lookup.build(
            'optimizer', {'name': f'parts_of_mine:{name}', 'learning_rate': 0.1}
        ).init
    with pytest.raises(Refusal, match=r'returns .*; allowed: a function that returns an optimizer'):
        lookup.find('optimizer', 'parts_of_mine:schedule')
    with pytest.raises(Refusal, match=r'returns None; allowed: an optimizer'):
        lookup.build('optimizer', {'name': 'parts_of_mine:nothing', 'learning_rate': 0.1})


@pytest.mark.parametrize('trusted_first', [False, True])
def test_a_check_answers_by_the_trust_of_its_own_time(trusted_first):
    """What was refused is taken once the user trusts the name, and the other way round."""
    config = configs.base()
    # other arguments in each case: nothing of it has been checked before
    rate = 0.125 + trusted_first / 8
    config.steps, config.optimizer = 1, dict(name='optax:sgd', learning_rate=rate)

    def problems(names):
        with lookup.recorded(), lookup.trusting(names):
            return check.check(config)

    for trusts in (trusted_first, not trusted_first, trusted_first):
        if trusts:
            assert problems(['optax:sgd']) == []
        else:
            (line,) = problems([])
            assert 'optimizer.name: the workdir names an optimizer outside lbexp' in line


def test_internals_are_not_offered():
    for kind in lookup.KINDS:
        for name in lookup.names(kind):
            assert lookup.find(kind, name).__name__ == name
    for name in ('diagnostics', 'evaluation', 'example_weights', 'ranges'):
        assert name not in lookup.names('optimizer')
    assert 'batch_scaling' not in lookup.names('schedule')
