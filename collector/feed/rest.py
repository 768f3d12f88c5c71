"""Calls a venue's REST interface: paced, retried and journalled.

There is one client for each venue, so that all its callers share one rate and one pause after a refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from aiolimiter import AsyncLimiter
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from collector.clock import Clock
from collector.errors import VenueError
from collector.feed.failures import AdapterError, AdapterFailures, Place
from collector.feed.intake import LiveSession
from collector.feed.network import LineError, MovedError, Network, UnreadableError
from collector.venues.adapter import Venue
from collector.venues.events import Event
from collector.venues.plan import Limits
from collector.venues.rest import RestAnswer, RestCall

log = structlog.get_logger()
R = TypeVar("R")

# Tries of one call before its failure is reported to the caller, which tries again later: with its own backoff.
ATTEMPTS_MAX = 6
# After status 429 (too many requests) without a `Retry-After`.
TOO_MANY_REQUESTS_PAUSE_SECONDS = 1.0
# A venue that asks for a longer pause is asked again after this one: a mistake of its server must not end the
# recording.
RETRY_AFTER_MAX_SECONDS = 900.0


@dataclass(slots=True)
class RestUse:
    """What a venue's budget was used for since the start; all clients of the venue count together."""

    per_second: float
    """Calls a second that we allow ourselves."""
    calls: int = 0
    failed: int = 0
    throttled: int = 0
    """Answers 429, which are among the failed."""
    not_before: float = 0.0
    """No call before this monotonic time: the venue asked for a pause."""


class RestClient:
    """Makes the calls that a venue's generators ask for."""

    def __init__(
        self,
        venue: Venue[Any],
        limits: Limits,
        network: Network,
        clock: Clock,
        session: LiveSession,
        failures: AdapterFailures | None = None,
    ) -> None:
        self._venue = venue
        self._name = venue.name
        self._network = network
        self._clock = clock
        self._session = session
        self.failures = failures or AdapterFailures(venue.name)
        """What the adapter raised."""
        self._max_answer_bytes = limits.max_answer_bytes
        self.use = RestUse(limits.rest_per_second)
        self._limiter = _bucket(limits.rest_per_second)
        self._quotas = {quota: _bucket(per_second) for quota, per_second in limits.quotas.items()}
        self._not_before: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._wait = wait_exponential_jitter(multiplier=0.5, max=30.0, jitter=0.5)

    def of(self, session: LiveSession) -> RestClient:
        """Return a client that draws on the same budget and hands its answers to another session."""
        other = copy(self)
        other._session = session  # noqa: SLF001  its own twin
        return other

    async def drive(
        self,
        generator: Generator[RestCall, RestAnswer, R],
        *,
        before: Callable[[], Awaitable[object]] | None = None,
        place: Place = Place.HISTORY,
    ) -> R:
        """Run a generator of calls to its end and return its result; `before` is awaited before each request.

        A failure is thrown into the generator; if it does not catch that, it is raised here as a `VenueError`. A bug in
        the generator is raised as an `AdapterError`; `place` says which generator it was.
        """
        running = self.failures.calling(place, StopIteration, VenueError)
        try:
            with running:
                call = next(generator)
            while True:
                try:
                    answer = await self.fetch(call, before=before)
                except VenueError as error:
                    with running:
                        call = generator.throw(error)
                else:
                    with running:
                        call = generator.send(answer)
        except StopIteration as done:
            result: R = done.value
            return result

    async def fetch(self, call: RestCall, *, before: Callable[[], Awaitable[object]] | None = None) -> RestAnswer:
        """Make one call, journal and parse its answer; after passing failures it is tried again a few times.

        Raises `VenueError`.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_transient),
            stop=stop_after_attempt(ATTEMPTS_MAX),
            wait=self._pause,
            sleep=self._clock.sleep,
            reraise=True,
        ):
            with attempt:
                if before is not None:
                    await before()
                try:
                    answer = await self._once(call)
                except VenueError as error:
                    self._tell(call, error)
                    raise
        self._told.pop(call.channel, None)
        if call.record:
            self._session.rest(call, answer)
        return answer

    async def fetch_once(self, call: RestCall, session: LiveSession) -> tuple[RestAnswer, Sequence[Event]]:
        """Make one call for another session, once. Raises `VenueError`, which the caller has to log."""
        answer = await self._once(call)
        return answer, session.rest(call, answer) if call.record else ()

    def _tell(self, call: RestCall, error: VenueError) -> None:
        # A venue that has closed for good must not fill the log: a repeated reason is logged at debug level. What
        # became of the call in the end is logged by its caller.
        tell = log.debug if self._told.get(call.channel) == error.reason else log.info
        tell("rest_failed", venue=self._name, channel=call.channel, reason=error.reason, code=error.code)
        self._told[call.channel] = error.reason

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, VenueError) and error.retry_after else 0.0
        return max(asked, self._wait(state))

    async def _once(self, call: RestCall) -> RestAnswer:
        wait = self._not_before.get(call.quota, 0.0) - self._clock.monotonic()
        if wait > 0:
            await self._clock.sleep(wait)
        quota = self._quotas.get(call.quota)
        if quota is not None:
            await quota.acquire()
        async with self._limiter:
            self.use.calls += 1
            try:
                status, headers, body = await self._network.request(
                    call.method,
                    call.url,
                    params=call.params,
                    headers=call.headers,
                    body=call.body,
                    max_answer_bytes=self._max_answer_bytes,
                )
            except LineError as error:
                self.use.failed += 1
                raise self._refusal(call, error) from error
        answer = RestAnswer(status, headers, body, self._clock.now_ns())
        failure = self._judge(call, answer)
        if failure is None:
            return answer
        if failure.retry_after is not None and not 0 <= failure.retry_after <= RETRY_AFTER_MAX_SECONDS:
            log.warning(
                "pause_capped",
                venue=self._name,
                channel=call.channel,
                asked_s=failure.retry_after,
                pause_s=RETRY_AFTER_MAX_SECONDS,
            )
            failure.retry_after = RETRY_AFTER_MAX_SECONDS
        self.use.failed += 1
        if status == 429:  # all callers of the venue wait
            until = self._clock.monotonic() + (failure.retry_after or TOO_MANY_REQUESTS_PAUSE_SECONDS)
            self._not_before[call.quota] = max(self._not_before.get(call.quota, 0.0), until)
            self.use.throttled += 1
            self.use.not_before = max(self.use.not_before, until)
        raise failure

    def _judge(self, call: RestCall, answer: RestAnswer) -> VenueError | None:
        try:
            return self._venue.failure(call, answer)
        except Exception as error:  # noqa: BLE001  a bug costs this call
            return self.failures.note(Place.FAILURE, error, call.channel)

    def _refusal(self, call: RestCall, error: LineError) -> VenueError:
        match error:
            case MovedError():
                return VenueError(self._name, f"{error}; {error.advice(self._name)}", code=str(error.status))
            case UnreadableError():
                return VenueError(self._name, f"{call.channel}: {error}")
        return VenueError(self._name, str(error))


def _bucket(per_second: float) -> AsyncLimiter:
    # It holds calls for one second and refills at the plain rate: the venue's own burst stays in reserve.
    return AsyncLimiter(per_second, 1.0) if per_second >= 1.0 else AsyncLimiter(1.0, 1.0 / per_second)


def _is_transient(error: BaseException) -> bool:
    if not isinstance(error, VenueError) or error.permanent or isinstance(error, AdapterError):
        return False
    return not isinstance(error.__cause__, LineError) or error.__cause__.again
