"""TD3's update written out in numpy, gradients by hand: the reference for the learner on vector observations."""

import numpy as np


def forward(layers, x):
    """[B, F] -> output [B, O] and what `backward` needs."""
    inputs, masks = [x], []
    for name in ("Dense_0", "Dense_1"):
        z = inputs[-1] @ layers[name]["kernel"] + layers[name]["bias"]
        masks.append(z > 0.0)
        inputs.append(z * masks[-1])
    return inputs[-1] @ layers["Dense_2"]["kernel"] + layers["Dense_2"]["bias"], (inputs, masks)


def backward(layers, tape, grad):
    """Gradients of the layers and of the input, from the output's gradient [B, O]."""
    inputs, masks = tape
    grads = {}
    for i, name in reversed(list(enumerate(("Dense_0", "Dense_1", "Dense_2")))):
        grads[name] = {"kernel": inputs[i].T @ grad, "bias": grad.sum(axis=0)}
        grad = grad @ layers[name]["kernel"].T
        if i > 0:
            grad = grad * masks[i - 1]
    return grads, grad


class Adam:
    """Kingma & Ba 2015, algorithm 1, for one MLP."""

    def __init__(self, lr):
        self.lr, self.count, self.moments = lr, 0, {}

    def step(self, layers, grads):
        self.count += 1
        for name, layer in layers.items():
            for part, grad in grads[name].items():
                m, v = self.moments.get((name, part), (0.0, 0.0))
                m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
                self.moments[name, part] = m, v
                m_hat, v_hat = m / (1.0 - 0.9**self.count), v / (1.0 - 0.999**self.count)
                layer[part] = layer[part] - self.lr * m_hat / (np.sqrt(v_hat) + 1e-8)


class NumpyTD3:
    """State and update; `actor` is one MLP's layers, `critics` two, all float64."""

    def __init__(self, actor, critics, target_actor, target_critics, *, actor_lr, critic_lr, gamma, tau):
        self.actor, self.critics = actor, critics
        self.target_actor, self.target_critics = target_actor, target_critics
        self.actor_optimizer, self.critic_optimizers = Adam(actor_lr), [Adam(critic_lr), Adam(critic_lr)]
        self.gamma, self.tau = gamma, tau

    def update(self, batch, noise, update_actor):
        """One update, actor and critics at the same parameters; `noise` [B, A] is the clipped smoothing noise."""
        size = len(batch.reward)
        next_action = np.clip(np.tanh(forward(self.target_actor, batch.next_vector)[0]) + noise, -1.0, 1.0)
        next_input = np.concatenate([batch.next_vector, next_action], axis=1)
        next_q = np.minimum(*[forward(critic, next_input)[0][:, 0] for critic in self.target_critics])
        target = [self._target(*row) for row in zip(batch.reward, batch.steps, batch.terminated, next_q, strict=True)]

        loss, critic_grads = 0.0, []
        for critic in self.critics:
            q, tape = forward(critic, np.concatenate([batch.vector, batch.action], axis=1))
            error = q[:, 0] - target
            loss += np.mean(error**2)
            critic_grads.append(backward(critic, tape, 2.0 * error[:, None] / size)[0])
        if update_actor:
            raw, actor_tape = forward(self.actor, batch.vector)
            action = np.tanh(raw)
            _, q_tape = forward(self.critics[0], np.concatenate([batch.vector, action], axis=1))
            _, input_grad = backward(self.critics[0], q_tape, np.full((size, 1), -1.0 / size))
            action_grad = input_grad[:, batch.vector.shape[1] :]
            actor_grads, _ = backward(self.actor, actor_tape, action_grad * (1.0 - action**2))
            self.actor_optimizer.step(self.actor, actor_grads)
        for critic, optimizer, grads in zip(self.critics, self.critic_optimizers, critic_grads, strict=True):
            optimizer.step(critic, grads)
        if update_actor:
            self._move_targets()
        return loss

    def _target(self, rewards, steps, terminated, next_q):
        """One n-step return by Horner's rule."""
        value = 0.0 if terminated else next_q
        for reward in rewards[:steps][::-1].astype(np.float64):
            value = reward + self.gamma * value
        return value

    def _move_targets(self):
        for online, target in [(self.actor, self.target_actor), *zip(self.critics, self.target_critics, strict=True)]:
            for name, layer in target.items():
                for part in layer:
                    layer[part] = (1.0 - self.tau) * layer[part] + self.tau * online[name][part]
