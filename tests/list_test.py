"""lbexp.list: what there is, from docstrings and annotations; and completion in a shell."""

import re
import shutil
import subprocess
import sys

import pytest

from lbexp import completion
from lbexp import list as command
from lbexp.config import fields, lookup
from lbexp.docstrings import arguments, first_sentence, papers


def told(capsys, *words):
    status = command.main(['', *words])
    printed = capsys.readouterr()
    return status, printed.out.splitlines(), printed.err.splitlines()


@pytest.mark.parametrize('kind', command.KINDS)
def test_every_name_has_a_line_that_says_something(capsys, kind):
    status, lines, _ = told(capsys, kind)
    names = command.names(kind)
    assert status == 0 and len(names) >= 2
    if kind == 'fields':
        assert len(lines) == 2 * len(fields.FIELDS)
        return
    assert [line.partition(': ')[0] for line in lines] == names
    assert all(len(line.partition(': ')[2]) > 15 for line in lines)


def test_everything_at_once(capsys):
    status, lines, _ = told(capsys)
    assert status == 0 and [line.partition(':')[0] for line in lines] == list(command.KINDS)
    assert 'lamb' in lines[command.KINDS.index('optimizers')]


def test_arguments_with_type_range_default_meaning_and_paper(capsys):
    _, lines, _ = told(capsys, 'optimizers', 'lamb')
    at = lines.index('  b1=0.9')
    assert lines[at + 1] == '      a number in [0, 1); in [0, 1).'
    at = lines.index('  eps=1e-06')
    assert lines[at + 1].endswith('outside the root [gradient units].')
    assert '  learning_rate' in lines and not any('axis_name' in line for line in lines)
    assert lines[-1] == 'Papers: You et al. 2020, arXiv:1904.00962v5'


def test_what_the_engine_gives_is_left_out_and_common_arguments_are_told(capsys):
    _, lines, _ = told(capsys, 'schedules', 'cosine')
    starts = [line for line in lines if line.startswith('  ') and not line.startswith('   ')]
    assert starts == ['  warmup=0.0', '  warmup_from=0.0', '  end=0.0']
    assert any('length of the warm-up [fraction of steps]' in line for line in lines)


@pytest.mark.parametrize('kind', [kind for kind in command.KINDS if kind in command.PARTS])
def test_every_argument_of_every_part_is_there(capsys, kind):
    part = command.PARTS[kind]
    for name in command.names(kind):
        status, lines, _ = told(capsys, kind, name)
        heads = {line.strip().partition('=')[0] for line in lines if line.startswith('  ')}
        needed = set(lookup.parameters(lookup.find(part, name))) - set(lookup.KINDS[part].given)
        assert status == 0 and needed <= heads


def test_a_part_of_yours_a_field_and_an_experiment(capsys, tmp_path, monkeypatch):
    (tmp_path / 'mine_listed.py').write_text(
        'import optax\n\n\ndef halved(learning_rate: float) -> optax.GradientTransformation:\n'
        '    """Half of SGD.\n\n    Args:\n        learning_rate: twice what is used.\n    """\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    _, lines, _ = told(capsys, 'optimizers', 'mine_listed:halved')
    assert lines[0] == 'mine_listed:halved: Half of SGD'
    assert lines[-2:] == ['  learning_rate', '      a number; twice what is used.']
    _, lines, _ = told(capsys, 'fields', 'batch_scaling')
    assert len(lines) == 6 and lines[2] == '  --config.batch_scaling.rule=None'
    _, lines, _ = told(capsys, 'experiments', 'lamb')
    assert lines[0].endswith('experiments/lamb.py') and lines[2].startswith('LAMB trains a small')


@pytest.mark.parametrize(
    'words, problem',
    [
        (['optimizrs'], "found 'optimizrs'; allowed: workloads, .* Did you mean 'optimizers'"),
        (['optimizers', 'lam'], "no optimizer is named 'lam'. Did you mean 'lamb'"),
        (['experiments', 'lam'], "no experiment is named 'lam'. Did you mean 'lamb'"),
        (['fields', 'batch_sizes'], "no field is named 'batch_sizes'. Did you mean 'batch_size'"),
        (['models', 'mlp', 'cnn'], 'found cnn; allowed: a kind and a name'),
        (['--completion=fish'], "--completion: found 'fish'; allowed: bash, zsh"),
    ],
)
def test_what_there_is_not(capsys, words, problem):
    status, lines, errors = told(capsys, *words)
    assert status == 2 and not lines and len(errors) == 1
    assert re.search(problem, errors[0])


def test_sentences_and_arguments_of_a_docstring():
    text = """Moves (You et al. 2020, arXiv:1904.00962). Then more.

    Args:
        first, second: in [0, 1), the
            decay.
        third: such as a: b.

    Returns:
        fourth: nothing.
    """
    assert first_sentence(text) == 'Moves (You et al. 2020, arXiv:1904.00962)'
    decay = 'in [0, 1), the decay.'
    assert arguments(text) == {'first': decay, 'second': decay, 'third': 'such as a: b.'}
    assert papers(text) == ['You et al. 2020, arXiv:1904.00962']
    assert first_sentence(None) == '' and arguments(None) == {} and papers(None) == []


NAMES = {'experiments': ['lamb', 'lars'], 'optimizers': ['adamw', 'lamb']}


@pytest.mark.processes
@pytest.mark.parametrize(
    'line, expected',
    [
        (['-m', 'lbexp.main', '--wor'], ['--workdir=']),
        (['-m', 'lbexp.main', '--config', '='], ['lamb', 'lars']),
        (['-m', 'lbexp.main', '--config', '=', 'lam'], ['lamb']),
        (['-m', 'lbexp.list', 'opt'], ['optimizers']),
        (['-m', 'lbexp.list', 'optimizers', 'a'], ['adamw']),
        (['-m', 'http.server', '--wor'], []),
        (['script.py', '--wor'], []),
    ],
)
def test_bash_completes(line, expected):
    """The function that bash would call, with the words of the command line as bash cuts them."""
    script = completion.script('bash', ['--workdir=', '--config='], NAMES)
    words = ' '.join(f"'{word}'" for word in ['python', *line])
    call = (
        f'{script}\ncompopt() {{ :; }}\nCOMP_WORDS=({words}); COMP_CWORD={len(line)}; _lbexp; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(['bash', '-c', call], capture_output=True, text=True, check=True)
    assert done.stderr == '' and done.stdout.split() == expected


@pytest.mark.processes
def test_zsh_reads_the_script():
    zsh = shutil.which('zsh')
    if zsh is None:
        pytest.skip('zsh: not on this machine')
    script = completion.script('zsh', ['--workdir='], NAMES)
    subprocess.run([zsh, '-n'], input=script, text=True, check=True)


@pytest.mark.processes
def test_the_command():
    done = subprocess.run(
        [sys.executable, '-m', 'lbexp.list', 'experiments'], capture_output=True, text=True
    )
    assert done.returncode == 0 and 'lamb: LAMB trains a small network' in done.stdout
