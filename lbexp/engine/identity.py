"""Whose a checkpoint is: the manifest in it, and what it must say to be restored."""

import hashlib
import json
from typing import Any, NamedTuple

from lbexp.config import fields

# which trials there are: each has its own digest
_APART = (*fields.watching(), 'study', 'sweep', 'search')


class Identity(NamedTuple):
    """What a cohort trains."""

    run: str  # its random name
    trials: list[int]  # in the order of the arrays
    seeds: list[int]
    configurations: list[str]  # digest of each trial's
    code: str  # digest of code and data
    # earlier {'configurations': {trial: digest}, 'code': digest} that were allowed
    stages: tuple[dict, ...] = ()

    def manifest(self, position: int) -> dict[str, Any]:
        """What a checkpoint says, as plain data.

        Args:
            position: the name of its folder: microbatches trained, of all trials together.
        """
        said = {name: value for name, value in self._asdict().items() if name != 'stages'}
        return {**said, 'position': position}

    def difference(self, manifest: Any, position: int) -> str:
        """Why the checkpoint of this manifest is not one to go on from; '': it is."""
        expected = self.manifest(position)
        if not isinstance(manifest, dict) or manifest.keys() != expected.keys():
            return 'it does not say whose it is'
        for name in ('run', 'trials', 'position'):
            if manifest[name] != expected[name]:
                return f'it is of {name} {manifest[name]}, not {expected[name]}'
        for place, (digest, current) in enumerate(
            zip(manifest['configurations'], self.configurations, strict=True)
        ):
            earlier = [
                stage['configurations'].get(str(self.trials[place])) for stage in self.stages
            ]
            if digest not in (current, *earlier):
                what = f'seed {manifest["seeds"][place]}, not {self.seeds[place]}'
                same = manifest['seeds'][place] == self.seeds[place]
                return (
                    f'it is of {"another configuration" if same else what}, trial '
                    f'{self.trials[place]}'
                )
        if manifest['code'] not in (self.code, *(stage['code'] for stage in self.stages)):
            return 'it is of other code or data'
        return ''


NOBODY = Identity('', [], [], [], '')


def digest(config: dict) -> str:
    """Of what a resolved configuration computes."""
    computed = {name: value for name, value in config.items() if name not in _APART}
    return hashlib.sha256(json.dumps(computed, sort_keys=True).encode()).hexdigest()
