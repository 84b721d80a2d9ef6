"""What the simulator knows and the camera only shows: stored, told to critics and heads, and read by no policy."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from learner_cases import BOTH, VECTOR, make_learner, on_host, once, random_batch, run_updates, same_bits

from avtd3_jax.agent import losses
from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.analysis import diagnostics
from avtd3_jax.analysis.saliency import GradCam
from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.errors import ConfigError, InputError
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.settings.schema import ExplorationConfig
from avtd3_jax.training.exploration import EpisodeNoise

TOLD = ObsSpec(image=(4, 36, 36), vector=5, privileged=3, expert=2)
ASYMMETRIC = {
    "critic_privileged": True,
    "auxiliary_weight": 1.0,
    "critic_layer_norm": True,
    "imitation_weight": 1.0,
}


@pytest.fixture(scope="module")
def learner():
    return make_learner(TOLD, **ASYMMETRIC)


def space(**parts: int) -> spaces.Dict:
    boxes: dict[str, gymnasium.Space] = {name: spaces.Box(-1.0, 1.0, (size,)) for name, size in parts.items()}
    return spaces.Dict({"image": spaces.Box(0, 255, (4, 36, 36), np.uint8), **boxes})


def test_a_space_has_it_beside_what_is_seen():
    assert ObsSpec.from_space(space(vector=5, privileged=3, expert=2)) == TOLD
    assert TOLD.seen == BOTH
    with pytest.raises(InputError, match="privileged"):
        ObsSpec.from_space(spaces.Dict({"privileged": spaces.Box(-1.0, 1.0, (3,))}))
    with pytest.raises(InputError, match="privileged space"):
        ObsSpec.from_space(spaces.Dict({**space(vector=5).spaces, "privileged": spaces.Box(-1.0, 1.0, (3, 1))}))


@pytest.mark.parametrize(
    ("name", "key"),
    [("critic_privileged", "env.privileged"), ("auxiliary_weight", "env.expert"), ("imitation_weight", "env.expert")],
)
def test_who_wants_it_needs_an_environment_that_gives_it(name, key):
    with pytest.raises(ConfigError, match=f"^{name} is .*{key}"):
        make_learner(BOTH, **{name: 1.0})


def test_the_replay_gives_back_what_was_known_at_both_ends_of_a_transition():
    """Each observation tells its own number in every part, so a mix-up of slots shows."""
    replay = FrameReplay(ObsSpec(image=None, vector=1, privileged=2, expert=1), ActionSpec(1), capacity=16, n_step=3)

    def observation(number: int) -> dict[str, np.ndarray]:
        parts = {"vector": [number], "privileged": [number, -number], "expert": [2 * number]}
        return {name: np.array(part, np.float32) for name, part in parts.items()}

    number = 0
    for length in (5, 2, 9, 4):
        replay.begin_episode(observation(number))
        for step in range(length):
            number += 1
            replay.add(np.zeros(1), 0.0, observation(number), step == length - 1, False)
        number += 1
    batch = replay.sample(200)
    for vector, told in ((batch.vector, batch.privileged), (batch.next_vector, batch.next_privileged)):
        np.testing.assert_array_equal(told, vector * [1.0, -1.0])
    np.testing.assert_array_equal(batch.expert, 2.0 * batch.vector)
    for name in ("privileged", "expert"):
        with pytest.raises(InputError, match=name):
            replay.begin_episode({**observation(0), name: np.full(replay.obs_spec.shapes[name], np.nan)})


def test_the_policy_does_not_read_it(learner):
    """The action's program has neither its value nor a network that was told it among what it computes from."""
    state = run_updates(learner, learner.init(0), 2)
    seen = BOTH.zeros(1)
    action = learner.act(state.params, seen)
    np.testing.assert_array_equal(
        action, learner.act(state.params, {**seen, "privileged": np.full(3, np.nan), "expert": np.full(2, np.nan)})
    )
    assert set(learner.acting_params(state.params)) == {"encoder", "actor"}
    batch = [part[None] for part in seen.values()]
    acting = learner.acting_params(state.params)
    ours, theirs = (str(jax.make_jaxpr(agent._act)(acting, *batch)) for agent in (learner, make_learner(BOTH)))
    assert ours == theirs, "the policy is the program that it is without privileged numbers"


def test_told_critics_judge_by_it_and_others_do_not(learner):
    batch = random_batch(TOLD)
    for agent, moved in ((learner, True), (make_learner(TOLD), False)):
        params = agent.init(0).params

        def value(told, agent=agent, params=params):
            features = jnp.zeros((8, 512 + 5))
            return agent.values(params["critic"], features, batch.action, told).sum()

        assert once(jax.grad(value), batch.privileged).any() == moved


def test_without_readers_it_changes_nothing():
    """Stored but not read: parameters are those of a run that has no such numbers, to the bit."""
    told_spec = ObsSpec(image=None, vector=5, privileged=3, expert=2)
    agents = {spec: make_learner(spec) for spec in (VECTOR, told_spec)}
    states = {spec: agent.init(0) for spec, agent in agents.items()}
    for update in range(3):
        batch = random_batch(VECTOR, seed=update)
        ones = np.ones((8, 3), np.float32)
        told = batch._replace(privileged=ones, next_privileged=ones, expert=ones[:, :2])
        for spec, given in ((VECTOR, batch), (told_spec, told)):
            states[spec], _ = agents[spec].step(states[spec], given, update)
    assert same_bits(*states.values())
    assert "auxiliary" not in states[told_spec].params


def test_the_loss_of_the_heads():
    predicted = np.array([[0.0, 1.0], [2.0, 1.0]], np.float32)
    told = np.array([[1.0, 1.0], [0.0, 0.0]], np.float32)
    assert float(losses.auxiliary_loss(predicted, told)) == pytest.approx((1.0 + 0.0 + 4.0 + 1.0) / 4)
    with pytest.raises(AssertionError):
        losses.auxiliary_loss(predicted, told[:, :1])


def test_heads_learn_from_the_encoders_features_and_train_it():
    """With rewards of zero the picture is all that can lower the heads' loss: it shows what they must say."""
    spec = ObsSpec(image=(4, 36, 36), vector=None, privileged=1)
    learner = make_learner(spec, auxiliary_weight=1.0, encoder_lr=1e-3, critic_lr=1e-3)
    state = learner.init(0)
    rng = np.random.default_rng(0)
    before = on_host(state.params["encoder"])
    reached = []
    for update in range(30):
        level = rng.choice([0, 255], 8)
        frames = np.broadcast_to(level[:, None, None, None], (8, 5, 36, 36)).astype(np.uint8)
        told = (level[:, None] / 127.5 - 1.0).astype(np.float32)
        batch = random_batch(spec)._replace(
            frames=frames, privileged=told, next_privileged=told, reward=np.zeros((8, 1), np.float32)
        )
        state, packed = learner.step(state, batch, update)
        reached.append(learner.read_metrics(packed, update_actor=learner.updates_actor(update))["loss/auxiliary"])
    assert np.mean(reached[-10:]) < 0.3, "guessing costs 1"
    assert any((a != b).any() for a, b in zip(before, on_host(state.params["encoder"]), strict=True))
    assert learner.trace_count == 2


def test_its_groups_metrics_and_targets(learner):
    state = learner.init(0)
    groups = learner.groups(state.params)
    assert set(groups) == {"encoder", "actor", "critic", "auxiliary"}
    assert groups["auxiliary"].learning_rate == learner.config.critic_lr
    assert set(state.target_params) == {"encoder", "actor", "critic"}
    for update_actor in (False, True):
        state, packed = learner.update(state, random_batch(TOLD), update_actor=update_actor)
        metrics = learner.read_metrics(packed, update_actor=update_actor)
        assert metrics["loss/auxiliary"] > 0.0
        assert metrics["grad_norm/auxiliary"] > 0.0
    assert learner.trace_count == 2


def test_several_updates_at_once_are_the_single_ones():
    spec = ObsSpec(image=None, vector=5, privileged=3, expert=2)
    learner = make_learner(spec, **ASYMMETRIC)
    batches = [random_batch(spec, seed=seed) for seed in range(4)]
    single = learner.init(0)
    for update, batch in enumerate(batches):
        single, _ = learner.step(single, batch, update)
    several, packed = learner.several(4)(learner.init(0), batches)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), several.params, single.params)
    assert learner.read_metrics(packed, update_actor=True)["loss/auxiliary"] > 0.0


def test_it_is_saved_restored_and_looked_into(learner, tmp_path):
    state = run_updates(learner, learner.init(0), 2)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, state)
        restored = checkpoints.restore(learner.init(1)).state
    assert same_bits(state, restored)
    assert diagnostics.q_gap(learner, state.params, random_batch(TOLD)) > 0.0
    cam = GradCam(learner)
    observation = TOLD.zeros(1)
    value = cam(state.params, observation).value
    assert cam(state.params, {**observation, "privileged": np.ones(3, np.float32)}).value != value


def test_layer_norm_bounds_what_critics_say_far_from_the_data():
    features, action = jnp.zeros((1, 5)), jnp.zeros((1, 2))
    growth = {}
    for layer_norm in (False, True):
        critic = make_learner(ObsSpec(None, 5), critic_layer_norm=layer_norm).critic
        params = critic.init(jax.random.key(0), features, action)
        near, far = (np.abs(critic.apply(params, features + scale, action)).max() for scale in (1e3, 1e6))
        growth[layer_norm] = far / near
    assert growth[False] > 100.0
    assert growth[True] < 1.5


def test_the_loss_that_draws_the_policy_to_an_expert():
    """Q's part is of size 1 whatever the rewards' scale, so one weight serves all."""
    q, action, expert = np.array([2.0, -6.0]), np.array([[0.0, 1.0], [0.5, 0.0]]), np.array([[0.0, 0.0], [0.0, 0.0]])
    for scale in (1.0, 100.0):
        loss = losses.imitating_loss(jnp.asarray(scale * q), jnp.asarray(action), jnp.asarray(expert), 0.5)
        assert float(loss) == pytest.approx(-(-2.0 / 4.0) + 0.5 * (1.0 + 0.25) / 4, rel=1e-5)


def test_the_policy_comes_to_do_what_the_expert_does():
    """The expert's rule is linear in the vector, and no reward speaks of it."""
    spec = ObsSpec(image=None, vector=5, expert=2)
    learner = make_learner(spec, imitation_weight=100.0, actor_lr=3e-3)
    state = learner.init(0)
    rule = np.random.default_rng(1).uniform(-0.3, 0.3, (5, 2)).astype(np.float32)
    for update in range(300):
        batch = random_batch(spec, size=32, seed=update)
        state, _ = learner.step(state, batch._replace(expert=np.clip(batch.vector @ rule, -1.0, 1.0)), update)
    vector = random_batch(spec, size=64, seed=999).vector
    error = np.abs(learner.act(state.params, {"vector": vector}) - np.clip(vector @ rule, -1.0, 1.0)).mean()
    assert error < 0.1, "guessing zero errs by 0.3"


def test_exploration_is_around_the_experts_action_where_there_is_one():
    config = ExplorationConfig(mean=(0.0, 0.4), std=(0.1, 0.1))
    plain, guided = (EpisodeNoise(config, 2, seed=3, episode=0) for _ in range(2))
    for _ in range(5):
        shift = guided.explore(np.array([0.2, -0.3], np.float32)) - plain.explore()
        np.testing.assert_allclose(shift, [0.2, -0.7], atol=1e-6)


def test_the_encoder_may_be_spared_the_critics_loss():
    agent = make_learner(TOLD, **ASYMMETRIC, encoder_grad="actor")
    state, batch, key = agent.init(0), random_batch(TOLD), jax.random.key(5)

    def gradient(name):
        def part(encoder):
            params = {**state.params, "encoder": encoder}
            return agent.loss(params, state.target_params, batch, key, update_actor=True)[1][name]

        return jax.tree.leaves(on_host(jax.jit(jax.grad(part))(state.params["encoder"])))

    assert not any(leaf.any() for leaf in gradient("loss/critic"))
    for name in ("loss/actor", "loss/auxiliary"):
        assert all(leaf.any() for leaf in gradient(name))
    with pytest.raises(ConfigError, match="encoder_grad is 'actor'"):
        make_learner(TOLD, encoder_grad="actor")
