"""Keeps threads of a client with a Traffic Manager apart, whose races can hang or end it.

Ticks. In synchronous mode the 0.9.16 wheel loses a wake-up now and then (carla-simulator/carla#9172, mended after
0.9.16): its worker asks for the episode settings, tests `step_begin` and begins to wait for it; if `World.tick` sets it
between test and wait, both threads wait for each other. As worker and tick are both woken by replies of this server,
which on a fast server leave together, that happened once in about 1,500 ticks of a busy machine. So a tick of a client
with a Traffic Manager is made only when the worker's question has been answered, and a little later: then it was once
in about 15,000. Only the client can exclude it; a hung one goes on when its Traffic Manager's own port gets
`set_synchronous_mode` False, then True.

Episodes. `Client.load_world` drops the client's episode and makes another while the Traffic Manager's worker goes on.
If the worker looks at the world in between, it follows a null pointer (LibCarla's client/detail/Simulator.cpp,
`LoadEpisode`; trafficmanager/TrafficManagerLocal.cpp, `Run`): that ended most processes that loaded 15 worlds. So a
load begins when the worker has asked its question, which is answered when the client has its new episode.
"""

import asyncio
import contextlib
import time

# From the answer to the worker's question until the tick may begin; the worker needs some 0.05 ms to begin to wait.
GAP_S = 0.00025
# How long a tick waits for a question that may never come: the Traffic Manager may have been shut down.
PATIENCE_S = 0.02
LOAD_PATIENCE_S = 0.1  # the same for a load, which is seldom
NEW_EPISODE_S = 2.0  # how long a question waits for a new episode at most


class ReplyPacing:
    """Where in its step a client's Traffic Manager is: light states, batch of controls, question, wait."""

    def __init__(self) -> None:
        self._in_step = False
        self._owes_question = False
        self._answered_at = 0.0
        self._question: asyncio.Future[None] | None = None
        self._new_episode: asyncio.Future[None] | None = None  # while one is being loaded

    def light_states_asked(self) -> None:
        """`get_vehicle_light_states`: a step has begun."""
        self._in_step = True

    def batch_applied(self) -> bool:
        """`apply_batch`; whether these are a step's controls."""
        self._owes_question, self._in_step = self._in_step, False
        return self._owes_question

    def settings_asked(self) -> None:
        """`get_episode_settings`: the worker is about to wait."""
        self._owes_question = False
        self._answered_at = time.monotonic()
        if self._question is not None and not self._question.done():
            self._question.set_result(None)

    async def begin_load(self) -> None:
        """Returns when the worker waits for the answer to its question, or does not ask any."""
        loop = asyncio.get_running_loop()
        if self._new_episode is None:
            self._new_episode = loop.create_future()
        self._question = loop.create_future()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._question, LOAD_PATIENCE_S)

    def new_episode(self) -> "asyncio.Future[None] | None":
        """What the answer to a question has to wait for."""
        return self._new_episode

    def end_load(self) -> None:
        """The client has its new episode."""
        if self._new_episode is not None:
            if not self._new_episode.done():
                self._new_episode.set_result(None)
            self._new_episode = None

    def must_wait(self) -> bool:
        """Whether a tick would come too close to the worker's last question."""
        return self._owes_question or time.monotonic() - self._answered_at < GAP_S

    async def settle(self) -> None:
        """Returns when the tick may be made."""
        if self._owes_question:
            self._question = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(self._question, PATIENCE_S)
            except TimeoutError:
                self._owes_question = False
        await asyncio.sleep(0)  # the answer leaves now
        # Blocks the loop, but the loop's timers cannot wait for less than a millisecond.
        time.sleep(max(0.0, self._answered_at + GAP_S - time.monotonic()))
