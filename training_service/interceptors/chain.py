"""The interceptors, in order.

1. telemetry   first: whatever stops the call, it is counted and traced, its request id goes back
2. refusals    outermost of those that may refuse: the one place that turns errors into an answer
3. audit       sees how the call ended, whatever stopped it, and may refuse what it can't record
4. deadline    bounds all the work that follows
5. limit       before anything is done for the call: a refusal must cost little
6. identity    before the body is looked at: a stranger's bytes cost nothing
7. rate        as soon as it is known whose budget a call is taken from; then the streams they have
8. consistency what the reads of the call have to see, before any of them
9. parsing     here and not in gRPC, which would answer INTERNAL to bytes that are no message
10. validation so that what follows sees only requests that keep the contract's rules
11. grants     last: whose data is meant stands in the request

What a caller streams is parsed and validated message by message, and each has to come in time. Such
calls are about nobody's data, so that there is no grant to look for.

Each method's handler is wrapped once, on its first call.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from training_service import contract
from training_service.caller import set_call_id
from training_service.errors import Reason, TrainingError
from training_service.interceptors.abuse import AbuseSignals
from training_service.interceptors.audit import Auditor
from training_service.interceptors.call import Call, Context
from training_service.interceptors.consistency import establish_consistency, hand_out_token
from training_service.interceptors.deadline import Deadline, Patience
from training_service.interceptors.errors import Refusals
from training_service.interceptors.grants import establish_grant
from training_service.interceptors.identity import Authenticator, establish_caller
from training_service.interceptors.limit import InFlightLimit
from training_service.interceptors.rate import Buckets, RateLimit, StreamLimit
from training_service.interceptors.telemetry import Telemetry
from training_service.settings import Settings
from training_service.storage.grant import GrantRepository

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]]


class InterceptorChain(grpc.aio.ServerInterceptor):
    """Wraps every RPC of the contract. Health, reflection and channelz pass by."""

    def __init__(
        self,
        settings: Settings,
        authenticator: Authenticator,
        grants: GrantRepository,
        buckets: Buckets,
        signals: AbuseSignals,
        auditor: Auditor,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._rate = RateLimit(settings, buckets)
        self._streams = StreamLimit(settings)
        self._signals = signals
        self._authenticator = authenticator
        self._grants = grants
        self._auditor = auditor
        self._telemetry = telemetry
        self.limit = InFlightLimit(settings.max_calls_in_flight)
        self.live_limit = InFlightLimit(settings.max_form_streams)
        self._methods = contract.access_levels()
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Returns the wrapped handler of a method, or gRPC's own for one that is not ours."""
        path = handler_call_details.method
        if path in self._handlers:
            return self._handlers[path]
        handler = await continuation(handler_call_details)
        if handler is None or path not in self._methods:
            return handler
        wrapped = self._wrap(self._methods[path], handler)
        self._handlers[path] = wrapped
        return wrapped

    def _wrap(self, method: contract.Method, handler: Any) -> "Handler":
        if handler.request_streaming:
            return self._live(method, handler)
        wrap = self._stream if handler.response_streaming else self._unary
        return wrap(method, handler)

    def _unary(self, method: contract.Method, handler: Any) -> "Handler":
        seconds = self._settings.default_deadline_seconds
        observe = self._telemetry.of(method, handler)

        async def unary(body: bytes, context: Context) -> bytes:
            call = Call(method, context)
            with observe(call):
                async with (
                    Refusals(call, self._signals),
                    self._auditor.of(call),
                    Deadline(call, seconds),
                ):
                    with self.limit:
                        await self._admit(call)
                        request = await self._take(call, handler, body)
                        response = await handler.unary_unary(request, context)
                        await hand_out_token(call)
                        return to_bytes(response)
            raise AssertionError("a refused call does not come here")

        return grpc.unary_unary_rpc_method_handler(
            unary, request_deserializer=None, response_serializer=None
        )

    def _stream(self, method: contract.Method, handler: Any) -> "Handler":
        seconds = self._settings.stream_deadline_seconds
        observe = self._telemetry.of(method, handler)

        # Written message by message, and not as a generator of its own: gRPC would leave that
        # suspended when the caller hangs up, with what it holds, until the garbage collector comes.
        async def stream(body: bytes, context: Context) -> None:
            call = Call(method, context)
            with observe(call):
                async with (
                    Refusals(call, self._signals),
                    self._auditor.of(call),
                    Deadline(call, seconds),
                ):
                    with self.limit:
                        await self._admit(call)
                        with self._streams.one(call):
                            request = await self._take(call, handler, body)
                            await self._answer(handler.unary_stream(request, context), context)

        return grpc.unary_stream_rpc_method_handler(
            stream, request_deserializer=None, response_serializer=None
        )

    def _live(self, method: contract.Method, handler: Any) -> "Handler":
        seconds = self._settings.form_deadline_seconds
        observe = self._telemetry.of(method, handler)

        # Who streams goes on for long: a limit of its own leaves room for other calls.
        async def live(bodies: AsyncIterator[bytes], context: Context) -> None:
            call = Call(method, context)
            with observe(call):
                async with (
                    Refusals(call, self._signals),
                    self._auditor.of(call),
                    Deadline(call, seconds),
                ):
                    with self.live_limit:
                        await self._admit(call)
                        with self._streams.one(call):
                            await self._converse(handler, bodies, context)

        return grpc.stream_stream_rpc_method_handler(
            live, request_deserializer=None, response_serializer=None
        )

    async def _converse(self, handler: Any, bodies: AsyncIterator[bytes], context: Context) -> None:
        async with (
            aclosing(self._requests(handler, bodies)) as requests,
            aclosing(handler.stream_stream(requests, context)) as responses,
        ):
            async for response in responses:
                async with self._patience():
                    await context.write(to_bytes(response))

    async def _requests(
        self, handler: Any, bodies: AsyncIterator[bytes]
    ) -> AsyncGenerator[Message, None]:
        """Yields the messages of a caller, each as it should be."""
        while True:
            async with self._patience():
                body = await anext(bodies, None)
            if body is None:
                return
            request = self._parse(body, handler.request_deserializer)
            contract.check(request)
            yield request

    def _patience(self) -> Patience:
        return Patience(self._settings.form_idle_seconds)

    @staticmethod
    async def _answer(stream: AsyncGenerator[Message | bytes], context: Context) -> None:
        async with aclosing(stream) as responses:
            async for response in responses:
                await context.write(to_bytes(response))

    async def _admit(self, call: Call) -> None:
        """Lets a call in whose caller may make it, and not too many of its kind."""
        await establish_caller(call, self._authenticator)
        await self._rate.admit(call)
        establish_consistency(call)

    async def _take(self, call: Call, handler: Any, body: bytes) -> Message:
        """Returns the request of a call, whose fields are as they should be."""
        request = self._parse(body, handler.request_deserializer)
        call.take(request)
        set_call_id(call.logged_id)
        contract.check(request)
        await establish_grant(call, request, self._grants)
        return request

    def _parse(self, body: bytes, deserialize: Callable[[bytes], Message]) -> Message:
        limit = self._settings.max_receive_bytes
        if len(body) > limit:
            raise TrainingError(
                Reason.REQUEST_TOO_LARGE, f"the request has {len(body)} bytes; at most {limit} fit"
            )
        try:
            request = deserialize(body)
        except DecodeError:
            raise TrainingError(
                Reason.MALFORMED_REQUEST, "the body is not a message of the request's type"
            ) from None
        # A record keeps what it is given: later versions would find fields there that no rule of
        # theirs was applied to.
        request.DiscardUnknownFields()
        return request


def to_bytes(response: Message | bytes) -> bytes:
    """Returns what goes over the wire: a servicer may answer with a record as it is stored."""
    return response if isinstance(response, bytes) else response.SerializeToString()
