"""What goes on inside the network while it learns, always at the same observations."""

from avtd3_jax.agent.interface import Agent, Params, TrainState
from avtd3_jax.agent.spaces import Observation
from avtd3_jax.analysis import diagnostics
from avtd3_jax.replay.batch import Batch


class Introspection:
    """Looks at the observations of the first batch that it is shown."""

    def __init__(self, agent: Agent, initial_params: Params) -> None:
        self._agent = agent
        self._initial = initial_params
        self._observations: Observation | None = None

    def look(self, state: TrainState, batch: Batch) -> dict[str, dict[str, float]]:
        """Numbers by family: gradient norm and weight change of every encoder parameter, and "network" for the rest."""
        if self._observations is None:
            self._observations = diagnostics.observations_of(batch)
            self._features = diagnostics.features_of(self._agent, self._initial, self._observations)
        features = diagnostics.features_of(self._agent, state.params, self._observations)
        return {
            "encoder_gradient_norm": diagnostics.encoder_gradient_norms(self._agent, state, batch),
            "encoder_weight_change": diagnostics.encoder_weight_changes(self._initial, state.params),
            "network": {
                "feature_cosine_similarity": diagnostics.feature_similarity(self._features, features),
                "q_pi_minus_q_data_abs": diagnostics.q_gap(self._agent, state.params, batch),
            },
        }
