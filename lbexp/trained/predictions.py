"""What a trained network gets wrong: a confusion matrix, the hardest examples; what a language
model writes. predictions.json of a workdir, which the report shows."""

import base64
import functools
import io
import json
from typing import Any

import jax
import msgspec
import numpy as np
from PIL import Image

from lbexp import documents, results
from lbexp.documents import Hard, Predictions
from lbexp.engine.metrics_file import replace
from lbexp.errors import Refusal
from lbexp.results.metrics import deciding, is_lower_better
from lbexp.trained._run import Run
from lbexp.trained._trial import Trial
from lbexp.trained.continuation import Draw, continued

_EXAMPLES = 20_000  # of the test set, the first
_CHUNK = 1000  # examples at once
_HARDEST = 16
_TEXTS, _TOKENS = 12, 60  # of a language model
_LARGEST = 48  # pixels of a side of a picture; a larger one is made smaller
_EXACT = 32  # pixels of a side up to which every one of them is kept


def keep(run: Run, number: int | None = None) -> Predictions:
    """Looks at what a trained network makes of the test set, and keeps it in the workdir.

    Args:
        number: of the trial; None: the best by the metric that decides (`metrics.deciding`).

    Raises:
        Refusal: no trial is done, or the workload has neither classes nor texts.
    """
    if number is None:
        number = _best(run)
    trial = run.trial(number)
    if trial.workload.schema.get('unit') in ('words', 'bytes'):
        kept = Predictions(number, trial.step, texts=_texts(trial))
    else:
        kept = _mistakes(trial)
    replace(run.workdir / documents.PREDICTIONS, json.dumps(msgspec.to_builtins(kept)).encode())
    return kept


def _best(run):
    """The number of the trial with the best value of what decides."""
    finals = results.final(run.workdir)
    done = np.flatnonzero(finals['status'] == 'done')
    if not len(done):
        raise Refusal(f'{run.workdir}: found no trial that is done; allowed: one that is')
    metric = deciding(results.numeric(finals))
    if metric is None:
        return int(finals['trial'][done[0]])
    values = finals[metric][done]
    if is_lower_better(metric):
        values = -values
    return int(finals['trial'][done[np.nanargmax(values)]])


def _mistakes(trial: Trial) -> Predictions:
    workload, classes = trial.workload, trial.output_names
    if workload.test is None or workload.predict is None or not classes:
        name = trial.config['workload']['name']
        raise Refusal(
            f'workload {name}: found no test set with classes, and no texts; allowed: '
            'classification, or a language model'
        )
    examples, logits, losses = _outputs(trial)
    labels = examples[_label(workload, examples)]
    predicted = logits.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (labels, predicted), 1)
    pictures = _pictures(workload, examples)
    hardest = []
    for place in np.argsort(-losses, kind='stable')[:_HARDEST].tolist():
        hard = Hard(
            place,
            classes[labels[place]],
            classes[predicted[place]],
            float(np.exp(-losses[place])),
            '' if pictures is None else _webp(pictures[place]),
        )
        hardest.append(hard)
    return Predictions(
        trial.number, trial.step, len(labels), list(classes), confusion.tolist(), hardest
    )


def _outputs(trial):
    """(examples, logits, losses) of the first of the test set, on the host."""
    workload = trial.workload

    @jax.jit
    def outputs(params, model_state, arrays, places):
        examples = workload.test.read(arrays, places)
        logits = workload.predict(params, model_state, examples)
        losses = workload.metrics(params, model_state, examples)['loss']
        return examples, logits, losses

    count = min(workload.test.size, _EXAMPLES)
    parts = []
    for first in range(0, count, _CHUNK):
        # the last one is padded: a chunk of another size would compile anew
        places = np.minimum(np.arange(first, first + _CHUNK), count - 1)
        part = outputs(trial.params, trial.model_state, workload.test.arrays, places)
        parts.append(jax.device_get(part))
    return jax.tree.map(functools.partial(_joined, count), *parts)


def _joined(count, *parts):
    return np.concatenate(parts)[:count]


def _label(workload, examples):
    """The name of the array of classes."""
    names = []
    for name, values in examples.items():
        is_class = np.issubdtype(values.dtype, np.integer) and values.ndim == 1
        if is_class and name not in workload.inputs:
            names.append(name)
    if len(names) == 1:
        return names[0]
    if 'label' in names:
        return 'label'
    raise Refusal(f'examples: found {", ".join(examples)}; allowed: one array of classes')


def _pictures(workload, examples):
    """[n, height, width, 1 or 3] bytes; None: the examples are no pictures."""
    for name in workload.inputs:
        values = examples[name]
        if values.ndim != 4 or values.shape[-1] not in (1, 3):
            continue
        if values.dtype == np.uint8:
            return values
        low, high = values.min(), values.max()
        return ((values - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)
    return None


def _webp(picture):
    image = Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)
    image.thumbnail((_LARGEST, _LARGEST))
    content = io.BytesIO()
    image.save(content, 'WEBP', lossless=max(image.size) <= _EXACT, quality=85)
    return base64.b64encode(content.getvalue()).decode()


def _texts(trial: Trial) -> list[str]:
    """Texts that the model writes without a prompt."""
    from lbexp.datasets import _texts as spelling

    names, unit = trial.output_names, trial.workload.schema['unit']
    prompt, texts = spelling.ids_of('', names, unit), []
    for sample in range(_TEXTS):
        draw: Any = Draw(1.0, 0, (0, sample))
        tokens = continued(trial, prompt, _TOKENS, draw, spelling.stops(names))
        texts.append(spelling.spelled(names, tokens, unit))
    return texts
