"""The trials of the steady-state study: what each is in the words of its table, in configuration,
and in theory."""

START, PATHS = 3.0, 4  # distance from the optimum, and trials, where the way to rest is followed
SAW_TOOTH = 5  # k of the cycle whose inner updates are measured one by one
_UNKNOWN_BURN_IN = 2000  # where no theory says how long a start is remembered


def grid_cases(learning_rates, momenta, ks, slow_step_sizes, ema_decays, batch_sizes):
    """The grid: what each trial is, in the words of the table."""
    base = dict(known=True, B=1)
    for gamma in learning_rates:
        yield dict(base, label='SGD', gamma=gamma)
        for beta in momenta:
            yield dict(base, label='momentum', gamma=gamma, beta=beta)
            yield dict(base, label='Nesterov', gamma=gamma, beta=beta, nesterov=True)
        for decay in ema_decays:
            yield dict(base, label='EMA of SGD', gamma=gamma, ema=decay)
        for k in ks:
            for alpha in slow_step_sizes:
                yield dict(base, label='Lookahead(SGD)', gamma=gamma, k=k, alpha=alpha)
    middle = learning_rates[len(learning_rates) // 2]
    for beta in momenta:
        for buffer in ('maintain', 'reset', 'interpolate'):
            setting = dict(base, gamma=middle, beta=beta, k=ks[0], alpha=0.5, buffer=buffer)
            yield dict(setting, label=f'Lookahead(momentum), {buffer}')
    for size in batch_sizes:
        if size != 1:
            yield dict(base, label='SGD', gamma=middle, B=size)
    yield dict(base, label='SGD + noise', gamma=middle, eta=0.25)
    yield dict(
        base, label='Lookahead(SGD), cycle', gamma=middle, k=SAW_TOOTH, alpha=0.5, saw_tooth=True
    )
    for _ in range(PATHS):
        path = dict(base, gamma=learning_rates[0], path=True)
        yield dict(path, label='SGD')
        yield dict(path, label='momentum', beta=momenta[-1])
        yield dict(path, label='Lookahead(SGD)', k=ks[0], alpha=0.5)
    # without closed form; their layers are the replicas
    for name, label in (('lars', 'LARS'), ('lamb', 'LAMB'), ('novograd', 'NovoGrad')):
        yield dict(label=label, gamma=0.05, B=1, known=False, name=name)


def overrides_of(index, case, curvatures, updates):
    """The overrides that make a trial of a case."""
    if case.get('path'):
        return {
            'optimizer': _optimizer(case),
            'workload.start': START,
            'batch_size': 1,
            'steps': 100,
            'seed': index,
            'num_rows': 50,
            'num_evaluations': 50,
            'num_checkpoints': 1,
        }
    start = _UNKNOWN_BURN_IN
    if case['known']:
        start = _burn_in(case, curvatures)
    probe = dict(name='stationary_moments', population=True, burn_in=start)
    probes = [dict(probe, weights='evaluation'), dict(probe, weights='fast')]
    if case.get('saw_tooth'):
        for j in range(SAW_TOOTH):
            probes.append(dict(probe, every=SAW_TOOTH, offset=j, prefix=f'inner_{j}'))
    noisy = dict(name='gradient_noise', kind='isotropic', eta=case.get('eta'), gamma=0.0)
    return {
        'optimizer': _optimizer(case),
        'transforms': [noisy] if 'eta' in case else [],
        'batch_size': case['B'],
        'probes': probes,
        'steps': start + max(updates, 5 * start // 2),  # slow modes are measured for longer
        'seed': index,
    }


def _optimizer(case):
    rate = case['gamma']
    if not case['known']:
        return dict(
            name=case['name'], learning_rate=rate, weight_decay=0.0, adapt='all', stacked_axes=1
        )
    inner = dict(name='sgd', learning_rate=rate)
    if 'beta' in case:
        inner = dict(
            name='momentum',
            learning_rate=rate,
            momentum=case['beta'],
            nesterov=case.get('nesterov', False),
        )
    if 'k' in case:
        return dict(
            name='lookahead',
            inner=inner,
            k=case['k'],
            slow_step_size=case['alpha'],
            buffer_policy=case.get('buffer', 'maintain'),
        )
    if 'ema' in case:
        return dict(name='ema', inner=inner, decay=case['ema'])
    return inner


def process_of(case, a):
    """The linear system of a case on a coordinate of curvature a."""
    from lbexp.theory.process import process

    return process(
        case['gamma'],
        a,
        case.get('beta', 0.0),
        case.get('nesterov', False),
        case.get('k'),
        case.get('alpha', 0.5),
        case.get('buffer', 'maintain'),
        case.get('ema'),
    )


def _burn_in(case, curvatures):
    """Updates until the slowest coordinate has forgotten its start. ValueError where one is not
    stable."""
    from lbexp.theory.autocorrelation import burn_in
    from lbexp.theory.fixed_point import fixed_point

    cycles = []
    for a in curvatures:
        rest = fixed_point(process_of(case, a), 1.0)
        cycles.append(float(burn_in(rest.radius, 1e-4)))
    # The radius is that of a cycle, which has k updates.
    return int(max(cycles)) * case.get('k', 1)


def curvatures_of(workload):
    """The curvature of each coordinate."""
    first, spectrum = workload.get('curvature', 1.0), workload.get('spectrum')
    if isinstance(spectrum, (list, tuple)):
        return [first * value for value in spectrum]
    # a number: the power by which curvatures fall
    dimension, power = workload.get('dimension', 1), spectrum or 0
    return [first / i**power for i in range(1, dimension + 1)]
