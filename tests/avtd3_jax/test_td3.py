"""The update's arithmetic, what moves when, and what it promises about memory, compilation and repetition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_cases import BOTH, VECTOR, make_learner, on_host, random_batch, run_updates, same_bits
from numpy_td3 import NumpyTD3

from avtd3_jax.agent.spaces import ObsSpec
from avtd3_jax.agent.td3 import GROUPS, TD3Config
from avtd3_jax.errors import NonFiniteError


@pytest.fixture(scope="module")
def learner():
    return make_learner()


def smoothing_noise(key, shape, noise=0.2, clip=0.5):
    """The noise that the update will draw from a state's key."""
    _, noise_key = jax.random.split(key)
    return np.clip(noise * np.asarray(jax.random.normal(noise_key, shape), np.float64), -clip, clip)


def numpy_twin(learner, state):
    def layers(params, index=None):
        take = (lambda p: np.array(p, np.float64)) if index is None else (lambda p: np.array(p[index], np.float64))
        return jax.tree.map(take, params["mlp"])

    config = learner.config
    return NumpyTD3(
        actor=layers(state.params["actor"]),
        critics=[layers(state.params["critic"], i) for i in range(2)],
        target_actor=layers(state.target_params["actor"]),
        target_critics=[layers(state.target_params["critic"], i) for i in range(2)],
        actor_lr=config.actor_lr,
        critic_lr=config.critic_lr,
        gamma=config.gamma,
        tau=config.tau,
    )


@pytest.mark.parametrize(("n_step", "decay"), [(1, 0), (3, 0), (1, 8)])
def test_updates_match_numpy(n_step, decay):
    """Ten updates, so that Adam's moments, the delayed actor and the moving targets are all in play."""
    learner = make_learner(
        VECTOR, tau=0.05, actor_lr=1e-3, critic_lr=3e-3, lr_decay_updates=decay, lr_final_fraction=0.1
    )
    state = learner.init(0)
    twin = numpy_twin(learner, state)
    for update in range(10):
        if decay:  # the actor's first step comes with update 1
            falling = [1.0 - 0.9 * min(number / decay, 1.0) for number in (update, update - 1)]
            twin.actor_optimizer.lr = 1e-3 * falling[1]
            for optimizer in twin.critic_optimizers:
                optimizer.lr = 3e-3 * falling[0]
        batch = random_batch(VECTOR, seed=update, n_step=n_step)
        update_actor = learner.updates_actor(update)
        expected_loss = twin.update(batch, smoothing_noise(state.key, batch.action.shape), update_actor)
        state, packed = learner.update(state, batch, update_actor=update_actor)
        metrics = learner.read_metrics(packed, update_actor=update_actor)
        assert metrics["loss/critic"] == pytest.approx(expected_loss, rel=1e-4)
    got = numpy_twin(learner, state)
    for mine, theirs in (
        (got.actor, twin.actor),
        (got.target_actor, twin.target_actor),
        (got.critics, twin.critics),
        (got.target_critics, twin.target_critics),
    ):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5), mine, theirs)


def changed(before, after):
    return [bool((a != b).any()) for a, b in zip(on_host(before), on_host(after), strict=True)]


@pytest.mark.parametrize("update_actor", [False, True])
def test_every_encoder_parameter_is_trained(learner, update_actor):
    """A replay of features, in place of pictures, would leave the encoder as it was made."""
    state = learner.init(0)
    before = on_host(state.params["encoder"])
    state, packed = learner.update(state, random_batch(), update_actor=update_actor)
    assert all(changed(before, state.params["encoder"]))
    assert learner.read_metrics(packed, update_actor=update_actor)["grad_norm/encoder"] > 0.0


def encoder_gradient_of_actor_loss(learner):
    state, batch, key = learner.init(0), random_batch(), jax.random.key(5)

    def part(encoder):
        params = {**state.params, "encoder": encoder}
        return learner.loss(params, state.target_params, batch, key, update_actor=True)[1]["loss/actor"]

    return on_host(jax.jit(jax.grad(part))(state.params["encoder"]))


def test_encoder_grad_option_routes_the_actors_loss():
    assert all(leaf.any() for leaf in encoder_gradient_of_actor_loss(make_learner(encoder_grad="both")))
    assert not any(leaf.any() for leaf in encoder_gradient_of_actor_loss(make_learner(encoder_grad="critic")))


def test_actors_loss_leaves_the_critics_alone(learner):
    state, batch = learner.init(0), random_batch()

    def loss(critic, update_actor):
        params = {**state.params, "critic": critic}
        return learner.loss(params, state.target_params, batch, jax.random.key(5), update_actor=update_actor)[0]

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    for with_actor, without in zip(
        on_host(gradient(state.params["critic"], True)), on_host(gradient(state.params["critic"], False)), strict=True
    ):
        np.testing.assert_allclose(with_actor, without, rtol=1e-5, atol=1e-7)


def test_critic_only_step_rests_actor_its_optimizer_and_the_targets(learner):
    state = run_updates(learner, learner.init(0), 2)
    actor, actor_opt = on_host(state.params["actor"]), on_host(state.opt_state["actor"])
    targets = on_host(state.target_params)
    state, _ = learner.update(state, random_batch(seed=9), update_actor=False)
    assert not any(changed(actor, state.params["actor"]))
    assert not any(changed(actor_opt, state.opt_state["actor"]))
    assert not any(changed(targets, state.target_params))
    state, _ = learner.update(state, random_batch(seed=9), update_actor=True)
    assert all(changed(actor, state.params["actor"]))
    assert all(changed(actor_opt, state.opt_state["actor"]))
    assert all(changed(targets, state.target_params))  # encoder, actor and critics: every network has a target


def test_each_group_steps_at_its_own_rate(learner):
    """Adam's first step is the learning rate itself wherever the gradient is not tiny."""
    state = learner.init(0)
    before = {group: on_host(state.params[group]) for group in GROUPS}
    state, _ = learner.update(state, random_batch(), update_actor=True)
    for group, rate in (("encoder", 1e-4), ("actor", 3e-4), ("critic", 3e-4)):
        step = max(np.abs(a - b).max() for a, b in zip(before[group], on_host(state.params[group]), strict=True))
        assert step == pytest.approx(rate, rel=0.01)


def test_a_time_limit_keeps_its_bootstrap():
    """A time limit is no end of the task: the value after it still counts."""
    learner = make_learner(VECTOR)
    means = {}
    for terminated in (False, True):
        batch = random_batch(VECTOR)._replace(terminated=np.full(8, terminated))
        _, packed = learner.update(learner.init(0), batch, update_actor=False)
        means[terminated] = learner.read_metrics(packed, update_actor=False)["q/target_mean"]
    assert means[True] == pytest.approx(random_batch(VECTOR).reward.mean(), rel=1e-5)
    assert abs(means[False] - means[True]) > 1e-3


def test_actor_and_critics_agree_on_the_scale_of_q(learner):
    """Without shared features and a target encoder the actor's Q ran to 1e13 over a batch's Q of 100."""
    state = learner.init(0)
    batches = [random_batch(seed=seed) for seed in range(8)]
    for update in range(300):
        update_actor = learner.updates_actor(update)
        state, packed = learner.update(state, batches[update % 8], update_actor=update_actor)
        if update_actor:
            metrics = learner.read_metrics(packed, update_actor=True)
            assert metrics["grad_norm/actor"] > 0.0
            assert metrics["q/pi_gap_abs"] < 10.0  # rewards of about 1, and three transitions in ten terminate


def test_exactly_two_traces():
    learner = make_learner(VECTOR)
    state = run_updates(learner, learner.init(0), 6)
    state, _ = learner.update(state, jax.device_put(random_batch(VECTOR)), update_actor=True)
    learner.act(state.params, np.zeros(5, np.float32))
    assert learner.trace_count == 2


def test_compiling_ahead_reports_costs_and_traces_no_more():
    learner = make_learner(VECTOR)
    state = learner.init(0)
    costs = learner.compile(state, random_batch(VECTOR))
    assert costs[True]["gflop"] > costs[False]["gflop"] > 0.0
    run_updates(learner, state, 2)
    assert learner.trace_count == 2


def test_another_batch_size_is_refused_and_loses_nothing(learner):
    state = run_updates(learner, learner.init(0), 1)
    with pytest.raises(ValueError, match="keep the batch size"):
        learner.update(state, random_batch(size=9), update_actor=True)
    run_updates(learner, state, 1)


def test_state_is_donated(learner):
    state = learner.init(0)
    following, _ = learner.update(state, random_batch(), update_actor=True)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(following))


def test_targets_start_as_copies(learner):
    state = learner.init(0)
    assert same_bits(state.params, state.target_params)
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((state.params, state.target_params))]
    assert len(set(pointers)) == len(pointers)


def test_same_seed_same_parameters_bit_for_bit(learner):
    states = [run_updates(each, each.init(7), 4) for each in (learner, learner, make_learner())]
    assert same_bits(states[0], states[1])
    assert same_bits(states[0], states[2])
    assert not same_bits(states[0].params, run_updates(learner, learner.init(8), 4).params)


@pytest.mark.parametrize("update_actor", [False, True])
def test_non_finite_update_is_refused_and_keeps_the_last_good_state(learner, update_actor):
    state = run_updates(learner, learner.init(0), 2)
    good = on_host((state.params, state.target_params, state.opt_state, state.step))
    batch = random_batch()
    batch.reward[3] = np.nan
    state, packed = learner.update(state, batch, update_actor=update_actor)
    with pytest.raises(NonFiniteError, match="was not applied"):
        learner.read_metrics(packed, update_actor=update_actor)
    kept = (state.params, state.target_params, state.opt_state, state.step)
    assert same_bits(good, kept)
    state, packed = learner.update(state, random_batch(), update_actor=update_actor)
    assert learner.read_metrics(packed, update_actor=update_actor)["loss/critic"] > 0.0


def test_bfloat16_tracks_float32(learner):
    """Rounding turns Adam's first steps of tiny gradients around, which of them is the batch's luck: so several."""
    apart = []
    for seed in range(4):
        losses, moves = [], []
        for each in (learner, make_learner(compute_dtype="bfloat16")):
            state = each.init(0)
            before = on_host(state.params)
            for update in range(10):
                state, packed = each.step(state, random_batch(seed=seed), update)
            losses.append(each.read_metrics(packed, update_actor=True)["loss/critic"])
            after = on_host(state.params)
            assert {leaf.dtype for leaf in after} == {np.dtype(np.float32)}
            moves.append(np.concatenate([(a - b).ravel() for a, b in zip(after, before, strict=True)]))
        assert losses[1] == pytest.approx(losses[0], rel=0.05)
        assert np.corrcoef(*moves)[0, 1] > 0.9
        apart.append(np.linalg.norm(moves[1] - moves[0]) / np.linalg.norm(moves[0]))
    # After ten updates the parameters lie nearer to each other than a quarter of the way that they have gone.
    assert np.mean(apart) < 0.25


def test_no_key_is_used_twice():
    with jax.debug_key_reuse(True):
        learner = make_learner(VECTOR)
        state = run_updates(learner, learner.init(0), 3)
    assert int(state.step) == 3


def test_smoothing_noise_changes_from_update_to_update():
    learner = make_learner(VECTOR, critic_lr=1e-12)
    state, targets = learner.init(0), set()
    for _ in range(3):
        state, packed = learner.update(state, random_batch(VECTOR), update_actor=False)
        targets.add(learner.read_metrics(packed, update_actor=False)["q/target_mean"])
    assert len(targets) == 3


@pytest.mark.parametrize("spec", [BOTH, VECTOR, ObsSpec(image=(4, 36, 36), vector=None)])
def test_each_kind_of_observation_trains_and_acts(spec):
    learner = make_learner(spec)
    state = run_updates(learner, learner.init(0), 2)
    batch = random_batch(spec)
    observations = {
        name: part
        for name, part in (("image", None if batch.frames is None else batch.frames[:, 1:]), ("vector", batch.vector))
        if part is not None
    }
    actions = learner.act(state.params, observations)
    assert actions.shape == (8, 2)
    assert actions.dtype == np.float32
    assert np.abs(actions).max() <= 1.0
    single = learner.act(state.params, {name: part[3] for name, part in observations.items()})
    np.testing.assert_allclose(single, actions[3], atol=1e-5)


def test_act_names_the_wrong_shape(learner):
    params = learner.init(0).params
    with pytest.raises(ValueError, match=r"image has the shape \[4, 84, 84\].*built for \[4, 36, 36\]"):
        learner.act(params, {"image": np.zeros((4, 84, 84), np.uint8), "vector": np.zeros(5, np.float32)})


def test_groups_count_every_parameter(learner):
    params = learner.init(0).params
    groups = learner.groups(params)
    assert [rate for _, rate in groups.values()] == [1e-4, 3e-4, 3e-4]
    assert sum(count for count, _ in groups.values()) == sum(leaf.size for leaf in jax.tree.leaves(params))


def test_ddpg_is_a_configuration():
    """One critic, no smoothing, no delay: the target is that critic at the target policy's own action."""
    learner = make_learner(VECTOR, num_critics=1, target_noise=0.0, policy_delay=1)
    state, batch = learner.init(0), random_batch(VECTOR)
    action = learner.actor.apply({"params": state.target_params["actor"]}, jnp.asarray(batch.next_vector))
    next_q = learner.critic.apply({"params": state.target_params["critic"]}, jnp.asarray(batch.next_vector), action)
    expected = batch.reward[:, 0] + 0.99 * np.where(batch.terminated, 0.0, np.asarray(next_q)[0])
    _, packed = learner.step(state, batch, 0)
    metrics = learner.read_metrics(packed, update_actor=True)
    assert metrics["q/target_mean"] == pytest.approx(expected.mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"encoder": "vgg"}, "encoder is 'vgg': choose one of"),
        ({"encoder_grad": "none"}, "encoder_grad is 'none'"),
        ({"compute_dtype": "float16"}, "compute_dtype is 'float16'"),
        ({"gamma": 1.0}, r"gamma is 1.0: it must be in \[0, 1\)"),
        ({"tau": 0.0}, "tau is 0.0"),
        ({"policy_delay": 0}, "policy_delay is 0"),
        ({"num_critics": 0}, "num_critics is 0"),
        ({"actor_lr": 0.0}, "actor_lr is 0.0: it must be positive"),
        ({"lr_decay_updates": -1}, "lr_decay_updates is -1: 0 for constant"),
        ({"lr_final_fraction": 0.0}, r"lr_final_fraction is 0.0: it must be in \(0, 1\]"),
        ({"target_noise": -0.1}, "target_noise is -0.1"),
        ({"trunk_width": -1}, "trunk_width is -1"),
        ({"random_shift": -1}, "random_shift is -1"),
    ],
)
def test_bad_hyperparameters_are_named(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        TD3Config(**values)
