"""The kinds of parts."""

from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of part."""

    package: str  # whose files, or functions where it is one file, are the parts
    # the types that they return, 'module:name', each of them one
    returns: tuple[str, ...]
    given: tuple[str, ...] = ()  # arguments that are the engine's, not the configuration's
    # those that it passes where the configuration does not set them
    may_be_given: tuple[str, ...] = ()
    # 'module:function' that makes a function of such a part of something else of the user's, such
    # as a class of a library; it gives back what it does not know. '': nothing else is one
    adapter: str = ''


KINDS = {
    'workload': Kind('lbexp.workloads', ('lbexp.workloads:Workload',)),
    'data': Kind('lbexp.datasets', ('lbexp.datasets:Dataset',)),
    'model': Kind('lbexp.models', ('lbexp.models:Model',), adapter='lbexp.models._own:adapted'),
    'optimizer': Kind(
        'lbexp.optimizers',
        ('optax:GradientTransformation',),
        given=('axis_name',),
        may_be_given=('seed',),
    ),
    'schedule': Kind('lbexp.schedules', ('optax:Schedule',), given=('peak', 'steps')),
    'example_weights': Kind(
        'lbexp.optimizers',
        ('lbexp.optimizers.example_weights:ExampleWeights',),
        may_be_given=('batch_size', 'dataset_size', 'indices'),
    ),
    'probe': Kind('lbexp.probes', ('lbexp.probes:Probe', 'lbexp.probes:EvaluationProbe')),
    'replicas': Kind(
        'lbexp.parallel.replicas', ('lbexp.parallel.replicas:Replicas',), given=('seed',)
    ),
    'study': Kind('lbexp.studies', ('lbexp.studies:Study',)),
    'tracker': Kind('lbexp.trackers', ('lbexp.trackers:Tracker',)),
    'executor': Kind(
        'lbexp.sweep.executors', ('lbexp.sweep.executors:Executor',), given=('resources',)
    ),
}
