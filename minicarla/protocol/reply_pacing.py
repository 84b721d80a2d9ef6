"""Keeps threads of a client with a Traffic Manager apart, whose races can hang or end it.

Ticks. In synchronous mode the 0.9.16 wheel loses a wake-up now and then (carla-simulator/carla#9172, mended after
0.9.16): its worker asks for the episode settings, tests `step_begin` and begins to wait for it; if `World.tick` sets it
between test and wait, both threads wait for each other. As worker and tick are both woken by replies of this server,
which on a fast server leave together, that happened once in about 1,500 ticks of a busy machine. So a tick of a client
with a Traffic Manager is made only when the worker's question has been answered, and a little later: then it was once
in about 15,000. Only the client can exclude it; a hung one goes on when its Traffic Manager's own port gets
`set_synchronous_mode` False, then True.

Changes of the world. The worker of an asynchronous Traffic Manager asks the same question before every step. When
`Client.load_world` drops the client's episode in the middle of a step, the worker follows a null pointer (LibCarla's
client/detail/Simulator.cpp, `LoadEpisode`; trafficmanager/TrafficManagerLocal.cpp, `Run`): that ended most processes
that loaded 15 worlds. When a car is destroyed in the middle of one, the worker reads a destroyed actor, which throws,
or takes its speed limit from memory that nobody has written, and looks for landmarks as far away as that says
(`distance > 0.0`, or the end of the stack): that ended a process in some 50 resets of 50 cars. So such a change is made
while the worker waits for the answer to its question, which it gets when the client knows of the change.
"""

import asyncio
import time

# From the answer to the worker's question until the tick may begin; the worker needs some 0.05 ms to begin to wait.
GAP_S = 0.00025
# How long a tick waits for a question that may never come: the Traffic Manager may have been shut down.
PATIENCE_S = 0.02
CHANGE_PATIENCE_S = 0.1  # the same for a change of the world; a Traffic Manager that asks nothing is waited for once
MAX_CHANGE_S = 2.0  # how long the answer to a question waits for a change at most
GO_ON_S = 0.003  # from the answer to a change until the worker goes on: the client has to take it in


class ReplyPacing:
    """Where in its step a client's Traffic Manager is: light states, batch of controls, question, wait."""

    def __init__(self) -> None:
        self._in_step = False
        self._owes_question = False
        self._answered_at = 0.0
        self._question: asyncio.Future[None] | None = None
        self._change: asyncio.Future[None] | None = None  # what questions wait for
        self._is_waiting = self._is_silent = False  # the worker: for the change; it asks no questions
        self._changed: asyncio.TimerHandle | None = None

    def light_states_asked(self) -> None:
        """`get_vehicle_light_states`: a step has begun."""
        self._in_step = True

    def batch_applied(self) -> bool:
        """`apply_batch`; whether these are a step's controls."""
        self._owes_question, self._in_step = self._in_step, False
        return self._owes_question

    def settings_asked(self) -> "asyncio.Future[None] | None":
        """`get_episode_settings`: the worker is about to wait, or to begin a step; what the answer has to wait for."""
        self._owes_question = self._is_silent = False
        self._answered_at = time.monotonic()
        if self._question is not None and not self._question.done():
            self._question.set_result(None)
        self._is_waiting = self._change is not None
        return self._change

    async def begin_change(self) -> None:
        """Returns when the worker waits for the answer to its question, or does not ask any."""
        loop = asyncio.get_running_loop()
        if self._changed is not None:
            self._changed.cancel()
            self._changed = None
        if self._change is None:
            self._change = loop.create_future()
        if self._is_waiting or self._is_silent:
            return
        self._question = loop.create_future()
        try:
            await asyncio.wait_for(self._question, CHANGE_PATIENCE_S)
        except TimeoutError:
            self._is_silent = True

    def end_change(self, in_s: float = 0.0) -> None:
        """The client knows of the change, or will in `in_s`; another change may begin before."""
        if self._changed is not None:
            self._changed.cancel()
            self._changed = None
        if in_s:
            self._changed = asyncio.get_running_loop().call_later(in_s, self.end_change)
        elif self._change is not None:
            if not self._change.done():
                self._change.set_result(None)
            self._change, self._is_waiting = None, False

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
