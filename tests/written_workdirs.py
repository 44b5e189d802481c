"""What the tests of results share: workdirs as the engine leaves them, without a run."""

import json


def write(folder, rows=(), overrides=None, states=None, config=None, tail=b''):
    """A workdir as the engine leaves it; a row is a dict with trial and step."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ''.join(json.dumps(row) + '\n' for row in rows).encode()
    (folder / 'metrics.jsonl').write_bytes(lines + tail)
    trials = [
        {'trial': i, 'overrides': own}
        for i, own in enumerate(overrides if overrides is not None else [{}])
    ]
    content = {'config': config or {'seed': 0}, 'trials': trials, 'environment': {}}
    (folder / 'config.json').write_text(json.dumps(content))
    if states is not None:
        trials = {str(i): {'status': state, 'step': 0} for i, state in enumerate(states)}
        (folder / 'status.json').write_text(json.dumps({'status': 'done', 'trials': trials}))
    return folder
