"""What goes wrong in training without an error: a policy at its limits, a parked car, critics off the scale of the
returns, an encoder without gradient. Each is watched by itself and says in plain words what it means and what to try.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

SATURATED = 0.95  # mean |action| over a window
PARKED_MPS, PARKED_SHARE = 0.5, 0.5
EPISODES = 50  # whose returns say what Q may be
REPEAT_WINDOWS = 10  # before the same thing is said again

_NO_GRADIENT = float(np.finfo(np.float32).tiny)


class Saturation:
    """Do the policy's actions lie at -1 and 1? Watched without exploration noise, over `window` steps."""

    def __init__(self, names: Sequence[str], window: int) -> None:
        """`names` of the action's dimensions, in order."""
        self._names = tuple(names)
        self.actions: deque[np.ndarray] = deque(maxlen=window)

    def observe(self, action: np.ndarray) -> None:
        """Takes an action [A] of the policy."""
        self.actions.append(np.abs(action))

    def levels(self) -> dict[str, float]:
        """Mean |action| of each dimension over the last `window` steps; nothing before there are so many."""
        if len(self.actions) < (self.actions.maxlen or 0):
            return {}
        return dict(zip(self._names, np.mean(self.actions, axis=0).tolist(), strict=True))

    def warning(self) -> str | None:
        """What to say, if anything."""
        high = {name: level for name, level in self.levels().items() if level > SATURATED}
        if not high:
            return None
        text = " and ".join(f"mean |{name}| {level:.2f}" for name, level in high.items())
        return (
            f"The policy is saturated: {text} over the last {self.actions.maxlen} steps. At its limits tanh passes no "
            "gradient, so it may never come back. Start anew with a lower agent.actor_lr, or find out why the critic "
            "wants ever more (learner/q/max, learner/q/pi_gap_abs in TensorBoard)."
        )


class Parking:
    """Does the car stand still for most of `window` steps?"""

    def __init__(self, window: int) -> None:
        self.parked: deque[bool] = deque(maxlen=window)

    def observe(self, speed_mps: float) -> None:
        """Takes the speed after a step."""
        self.parked.append(speed_mps < PARKED_MPS)

    def share(self) -> float | None:
        """Share of the last `window` steps that the car stood still in; None before there are so many."""
        return float(np.mean(self.parked)) if len(self.parked) == self.parked.maxlen else None

    def warning(self) -> str | None:
        """What to say, if anything."""
        share = self.share()
        if share is None or share <= PARKED_SHARE:
            return None
        return (
            f"The car is parked: slower than {PARKED_MPS} m/s in {share:.0%} of the last {self.parked.maxlen} steps, "
            "and standing teaches it nothing about driving. See whether standing pays (reward/* in TensorBoard; "
            "env.reward.parked_value makes it cost more), and whether exploration drives off (the second value of "
            "exploration.mean is throttle)."
        )


class QScale:
    """Is |Q(s, pi(s)) - Q(s, a)| larger than the whole range of the returns? Then no return can have taught it."""

    def __init__(self, gamma: float) -> None:
        self._gamma = gamma
        self.ranges: deque[tuple[float, float]] = deque(maxlen=EPISODES)

    def observe(self, rewards: Sequence[float]) -> None:
        """Takes the rewards of a whole episode."""
        value, low, high = 0.0, 0.0, 0.0
        for reward in reversed(rewards):
            value = reward + self._gamma * value
            low, high = min(low, value), max(high, value)
        self.ranges.append((low, high))

    def scale(self) -> float | None:
        """Width of the range of the discounted returns from every step of the last episodes, zero included."""
        if not self.ranges:
            return None
        low, high = np.array(self.ranges).T
        return float(high.max() - low.min()) or None

    def ratio(self, gap: float) -> float | None:
        """`gap`, a mean |Q(s, pi(s)) - Q(s, a)|, in units of that range; None while there is no range."""
        scale = self.scale()
        return None if scale is None else gap / scale

    def warning(self, gap: float) -> str | None:
        """What to say of `gap`, if anything."""
        ratio = self.ratio(gap)
        if ratio is None or ratio <= 1.0:
            return None
        return (
            f"The critics are off the scale of the returns: mean |Q(s, pi(s)) - Q(s, a)| is {gap:.3g}, all discounted "
            f"returns of the last {len(self.ranges)} episodes lie within {self.scale():.3g}. The policy follows "
            "values that no episode has shown: lower agent.critic_lr and agent.actor_lr, or raise agent.policy_delay."
        )


def gradient_warning(mean_gradients: Mapping[str, float]) -> str | None:
    """What to say of encoder parameters by path and the largest running mean of their gradients, if anything.

    The running mean is Adam's: it falls to nothing after some 800 updates without any gradient, or stays there.
    """
    dead = without_gradient(mean_gradients)
    if not dead:
        return None
    return (
        f"No gradient reaches the encoder's {', '.join(dead)}: {'it stays' if len(dead) == 1 else 'they stay'} as "
        "random as at the start. Units that no picture excites any more cause it, or pictures that show nothing: lower "
        "agent.encoder_lr and start anew, and look at the replay's samples (debug=True)."
    )


def without_gradient(mean_gradients: Mapping[str, float]) -> list[str]:
    """Paths of the parameters that get none."""
    return [path for path, value in mean_gradients.items() if value < _NO_GRADIENT]


class Monitors:
    """All of them over one training run, each condition reported once in `REPEAT_WINDOWS` windows."""

    def __init__(self, window: int, gamma: float, actions: Sequence[str], report: Callable[[str], None]) -> None:
        """Watches over `window` steps; `actions` names the action's dimensions, `report` takes a sentence."""
        self._saturation = Saturation(actions, window)
        self._parking = Parking(window)
        self._q_scale = QScale(gamma)
        self._interval = REPEAT_WINDOWS * window
        self._report = report
        self._said_at: dict[str, int] = {}

    def acted(self, action: np.ndarray) -> None:
        """Takes an action [A] of the policy, without noise."""
        self._saturation.observe(action)

    def stepped(self, speed_mps: float | None) -> None:
        """Takes the speed after a step; None where the environment tells none."""
        if speed_mps is not None:
            self._parking.observe(speed_mps)

    def ended(self, rewards: Sequence[float]) -> None:
        """Takes the rewards of a whole episode."""
        self._q_scale.observe(rewards)

    def check(self, step: int, q_gap: float | None, mean_gradients: Mapping[str, float]) -> dict[str, float]:
        """Reports what is wrong at environment step `step`; returns what was measured, to be logged.

        Args:
          step: environment steps so far.
          q_gap: mean |Q(s, pi(s)) - Q(s, a)| of the last updates of the actor, None where there were none.
          mean_gradients: of the encoder, as `gradient_warning` takes them; empty before the first update.
        """
        self._say("saturation", step, self._saturation.warning())
        self._say("parking", step, self._parking.warning())
        self._say("q_scale", step, None if q_gap is None else self._q_scale.warning(q_gap))
        self._say("gradient", step, gradient_warning(mean_gradients))
        measured: dict[str, float | None] = {
            **{f"mean_abs_{name}": level for name, level in self._saturation.levels().items()},
            "parked_share": self._parking.share(),
            "q_gap_of_return_range": None if q_gap is None else self._q_scale.ratio(q_gap),
            "encoder_parameters_without_gradient": len(without_gradient(mean_gradients)) if mean_gradients else None,
        }
        return {name: value for name, value in measured.items() if value is not None}

    def get_state(self) -> dict[str, Any]:
        """What has been watched so far, JSON-able."""
        return {
            "actions": [action.tolist() for action in self._saturation.actions],
            "parked": [bool(parked) for parked in self._parking.parked],
            "ranges": list(self._q_scale.ranges),
            "said_at": self._said_at,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from where `get_state` was called."""
        self._saturation.actions.extend(np.asarray(action, np.float32) for action in state["actions"])
        self._parking.parked.extend(state["parked"])
        self._q_scale.ranges.extend((low, high) for low, high in state["ranges"])
        self._said_at = dict(state["said_at"])

    def _say(self, condition: str, step: int, sentence: str | None) -> None:
        last = self._said_at.get(condition)
        if sentence is not None and (last is None or step - last >= self._interval):
            self._said_at[condition] = step
            self._report(sentence)
