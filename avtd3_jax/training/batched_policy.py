"""One call of the policy for all environments that wait for an action."""

from collections.abc import Callable, Mapping

import numpy as np

Observation = dict[str, np.ndarray]
Policy = Callable[[Observation], np.ndarray]


class BatchedPolicy:
    """Acts for up to `size` environments at once.

    The batch always has `size` rows, so that one executable serves any number of them; a lone environment has none.
    """

    def __init__(self, policy: Policy, size: int) -> None:
        self._policy = policy
        self._size = size
        self._batch: Observation = {}

    def __call__(self, observations: Mapping[int, Observation]) -> dict[int, np.ndarray]:
        """Observations by environment -> actions [A] by environment."""
        if self._size == 1:
            return {i: self._policy(observation) for i, observation in observations.items()}
        for i, observation in observations.items():
            for name, array in observation.items():
                if name not in self._batch:
                    self._batch[name] = np.zeros((self._size, *array.shape), array.dtype)
                self._batch[name][i] = array
        actions = self._policy(self._batch)
        return {i: actions[i] for i in observations}
