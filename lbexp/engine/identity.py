"""Whose a checkpoint is: the manifest in it, and what it must say to be restored."""

from typing import Any, NamedTuple


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
        fields = self._asdict()
        del fields['stages']  # what may be, not what is
        return {**fields, 'position': position}

    def difference(self, manifest: Any, position: int) -> str:
        """Why the checkpoint of this manifest is not one to go on from; '': it is."""
        expected = self.manifest(position)
        if not isinstance(manifest, dict) or manifest.keys() != expected.keys():
            return 'it does not say whose it is'
        # The position is its folder's name: a folder that was renamed is another checkpoint's.
        for name in ('run', 'trials', 'position'):
            if manifest[name] != expected[name]:
                return f'it is of {name} {manifest[name]}, not {expected[name]}'
        for place, trial in enumerate(self.trials):
            if manifest['configurations'][place] not in self._allowed(place):
                seed, current = manifest['seeds'][place], self.seeds[place]
                other = 'another configuration'
                if seed != current:
                    other = f'seed {seed}, not {current}'
                return f'it is of {other}, trial {trial}'
        codes = [self.code, *(stage['code'] for stage in self.stages)]
        if manifest['code'] not in codes:
            return 'it is of other code or data'
        return ''

    def _allowed(self, place):
        """The digests that a checkpoint may say of a trial's configuration, earlier ones too."""
        trial = str(self.trials[place])
        earlier = [stage['configurations'].get(trial) for stage in self.stages]
        return [self.configurations[place], *earlier]


NOBODY = Identity('', [], [], [], '')
