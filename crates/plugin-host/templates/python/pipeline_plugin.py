"""Writes a plugin for pipeline in Python: a class with three methods, a decorator, and `plugin.run()`.

    plugin = Plugin("greeting", "0.1.0")

    @plugin.stage("greeting", "Greets", inputs={"type": "object", "properties": {}}, outputs={})
    class Greeting:
        def plan(self, cx, inputs): return StagePlan()          # only reads
        def apply(self, cx, plan): return plan.outputs          # does what the plan says, nothing else
        def rollback(self, cx, done): ...                       # undoes, last first

    plugin.run()

Every call has a thread of its own, so a stage keeps no state between calls. What a plugin prints goes to
standard error, which is its log. This file needs Python 3.9 and nothing else; copy it beside your plugin.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Callable, NamedTuple, Protocol, TypeVar

PROTOCOL = 1
LONGEST_MESSAGE = 16 << 20
# How many seconds open calls may still take once the host is gone: enough to stop what they have started. What they did
# after that would be done behind the back of whoever undoes the run.
LAST_WORK = 1.0


@dataclass(frozen=True)
class Unknown:
    """A value that is known only once another stage was applied: `stages.NAME.OUTPUT`."""

    origin: str


class Secret(str):
    """The text of a secret. In a plan's `detail` and an intent's `before` only its reference is written."""

    reference: str = ""

    @classmethod
    def of(cls, reference: str, text: str) -> Secret:
        secret = cls(text)
        secret.reference = reference
        return secret


class PluginError(Exception):
    """What a call may end with. Raise one of the classes below."""

    kind = "failed"

    def __init__(
        self, message: str, help: str | None = None, so_far: Outputs | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.help, self.so_far, self.field = help, so_far, field


class StageError(PluginError):
    """The world refused. `help` says what to do about it, `so_far` what an `apply` had made until then."""


class RolledBack(PluginError):
    """Whoever deploys has rolled the deployment back: the world is as it was."""

    kind = "rolled_back"


class InputError(PluginError):
    """The input `field` (dotted) is wrong in a way that its schema does not tell."""

    kind = "input"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, field=field)


class Cancelled(PluginError):
    """The call ended early because `Context.cancelled` was set."""

    kind = "cancelled"

    def __init__(self, message: str = "cancelled") -> None:
        super().__init__(message)


class NotifyError(PluginError):
    """An event could not be delivered. The host tries again if it is `retryable`."""

    def __init__(self, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.kind = "retryable" if retryable else "failed"


@dataclass
class Resource:
    """Something that exists for a stage, and what is needed to find it again."""

    kind: str
    name: str
    attributes: Any = None


@dataclass
class Outputs:
    """What a stage gives: values for `stages.NAME.KEY`, and its resources, which the state remembers."""

    values: dict[str, Any] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)


@dataclass
class Change:
    """A line of a plan. `action` is create, update, replace, delete or run."""

    kind: str
    name: str
    action: str
    # Dotted attribute to its value before and after; None where there is none.
    attributes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    reason: str | None = None
    # Why a rollback cannot undo it, if it cannot.
    irreversible: str | None = None


@dataclass
class StagePlan:
    """What a stage will do. No changes: the world is as it should be. `detail` is for `apply` alone."""

    changes: list[Change] = field(default_factory=list)
    outputs: Outputs = field(default_factory=Outputs)
    detail: Any = None


@dataclass
class Done:
    """A side effect of the run. Without `after` it may or may not have happened: read the world to tell."""

    kind: str
    name: str
    action: str
    before: Any = None
    after: Any = None


class Pipeline(NamedTuple):
    """Which app, in which environment."""

    name: str
    environment: str

    @property
    def canonical(self) -> str:
        """What resources are called unless told otherwise."""
        return f"{self.name}-{self.environment}"


class Stage(Protocol):
    """What `Plugin.stage` decorates. Secrets in `inputs` are there as text, unknown values as `Unknown`."""

    def plan(self, cx: Context, inputs: dict[str, Any]) -> StagePlan: ...
    def apply(self, cx: Context, plan: StagePlan) -> Outputs: ...
    def rollback(self, cx: Context, done: list[Done]) -> None: ...


class Notifier(Protocol):
    """What `Plugin.notifier` decorates. It is made once for each `[notify.NAME]`."""

    def __init__(self, inputs: dict[str, Any]) -> None: ...
    def notify(self, event: dict[str, Any]) -> None: ...


S = TypeVar("S", bound=Stage)
N = TypeVar("N", bound=Notifier)


class Context:
    """What a stage is told about the run it takes part in, and its way to the host.

    `stage`, `run`, `pipeline`; `directory`, where relative paths start; `mode`: converge, destroy or
    refresh; `prior`: the `Outputs` of the last apply, or None; `idempotency_key`: the same for this stage
    of this run, also after a crash; `cancelled`: set when the call should end, leaving nothing half done.
    """

    def __init__(self, link: _Link, call: _Call, body: dict[str, Any]) -> None:
        self._link, self._call = link, call
        self.stage: str = body["stage"]
        self.run: str = body["run"]
        self.pipeline = Pipeline(body["pipeline"]["name"], body["pipeline"]["environment"])
        self.directory = Path(body["directory"])
        self.mode: str = body["mode"]
        prior = body.get("prior")
        self.prior: Outputs | None = _read_outputs(prior["outputs"]) if prior else None
        self.idempotency_key: str = body["idempotency_key"]
        self.cancelled: threading.Event = call.cancelled

    def note(self, message: str) -> None:
        """Says something to people who watch."""
        self._link.progress(self._call.id, {"level": "note", "message": _one_line(message)})

    def milestone(self, message: str, link: tuple[str, str] | None = None) -> None:
        """Says something also to people who do not watch. `link` is the label and the address of a page."""
        progress: dict[str, Any] = {"level": "milestone", "message": _one_line(message)}
        if link:
            progress["link"] = {"label": link[0], "url": link[1]}
        self._link.progress(self._call.id, progress)

    def intent(self, kind: str, name: str, action: str, before: Any = None) -> int:
        """Records durably that `apply` is about to change a resource of its plan; only then change it.

        `before` is all that is needed to undo the change. Returns the number that `done` takes.
        """
        change = {"resource": {"kind": kind, "name": name}, "action": action, "before": _sealed(before)}
        return int(self._ask("intent", intent={**change, "after": None}))

    def done(self, intent: int, after: Any) -> None:
        """Records what the side effect has left. Where nothing is left, `{}`: null would say "not known"."""
        self._ask("done", intent=intent, after={} if after is None else _sealed(after))

    def secret(self, reference: str) -> Secret:
        """The secret behind the reference of an input, such as `inputs.password`."""
        known, key = self._link.secrets, (self.run, self.stage, reference)
        # A plan sees the secret as it is now; what follows from the plan uses the same one.
        if self._call.type == "plan" or key not in known:
            known[key] = str(self._ask("secret", reference=reference))
        return Secret.of(reference, known[key])

    def aws(self) -> dict[str, Any]:
        """How to reach AWS as the rest of the pipeline does.

        `access_key_id`, `secret_access_key`, and where there are any `session_token`, `region`, `endpoint_url`.
        """
        return dict(self._ask("aws"))

    def _ask(self, service: str, **fields: Any) -> Any:
        return self._link.ask(self._call.id, service, **fields)


class Plugin:
    """A plugin and what it has."""

    def __init__(self, name: str, version: str) -> None:
        self._welcome: dict[str, Any] = {"protocol": PROTOCOL, "name": name, "version": version}
        self._welcome.update(stages=[], notifiers=[])
        self._stages: dict[str, Stage] = {}
        self._notifiers: dict[str, type[Notifier]] = {}
        self._opened: dict[str, Notifier] = {}

    def stage(
        self,
        kind: str,
        summary: str,
        inputs: dict[str, Any],
        outputs: dict[str, Any],
        grace_seconds: int | None = None,
    ) -> Callable[[type[S]], type[S]]:
        """Adds a stage. `inputs` and `outputs` are JSON Schemas (2020-12) of one object each.

        A cancelled call may take `grace_seconds` to end, 10 unless given; then the plugin is killed.
        """

        def add(stage: type[S]) -> type[S]:
            manifest = {"kind": kind, "summary": summary, "inputs": inputs, "outputs": outputs}
            self._welcome["stages"].append({**manifest, "grace_seconds": grace_seconds})
            self._stages[kind] = stage()
            return stage

        return add

    def notifier(
        self, kind: str, summary: str, inputs: dict[str, Any], events: tuple[str, ...] = ()
    ) -> Callable[[type[N]], type[N]]:
        """Adds a notifier that wants these events, such as `run_finished`; without any, all of them."""

        def add(notifier: type[N]) -> type[N]:
            manifest = {"kind": kind, "summary": summary, "inputs": inputs, "outputs": {}, "events": list(events)}
            self._welcome["notifiers"].append(manifest)
            self._notifiers[kind] = notifier
            return notifier

        return add

    def run(self) -> None:
        """Talks to the host until that is done. Then the process ends."""
        link = _Link()
        code = 0
        try:
            for type, id, body in link.messages():
                self._take(link, type, id, body)
        except _Broken as error:
            print(f"the plugin cannot go on: {error}", file=sys.stderr, flush=True)
            code = 1
        threads = link.end()
        deadline = time.monotonic() + LAST_WORK
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            # Under a host the process leads a group: what it has started ends with it.
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
            # The interpreter cannot end in good order with threads that do not stop.
            os._exit(code)
        sys.exit(code)

    def _take(self, link: _Link, type: str, id: int, body: Any) -> None:
        if type == "answer":
            return link.answered(id, body)
        if type == "cancel":
            return link.cancel(id)
        call = _Call(type, id)
        call.thread = threading.Thread(target=self._work, args=(link, call, body), daemon=True)
        # Known before it begins: a cancellation may come right after it.
        link.open[id] = call
        call.thread.start()
        return None

    def _work(self, link: _Link, call: _Call, body: Any) -> None:
        link.write(self._outcome(link, call, body))
        link.open.pop(call.id, None)

    def _outcome(self, link: _Link, call: _Call, body: Any) -> bytes:
        try:
            try:
                return _encode("result", call.id, {"ok": self._carry_out(link, call, body)})
            except PluginError as error:
                return _encode("result", call.id, {"error": _written_error(error)})
        except BaseException as error:  # also SystemExit, which would leave the call without a result
            traceback.print_exc()
            failure = {"kind": "failed", "message": _one_line(f"{type(error).__name__}: {error}")}
            return _encode("result", call.id, {"error": failure})

    def _carry_out(self, link: _Link, call: _Call, body: dict[str, Any]) -> Any:
        if call.type == "hello":
            if body["protocol"] < PROTOCOL:
                raise StageError(f"{body['host']} speaks version {body['protocol']}, and the plugin needs {PROTOCOL}")
            return self._welcome
        if call.type == "open":
            made = _known(self._notifiers, body["kind"], "the plugin has no notifier")
            inputs = _revealed(body["inputs"], lambda reference: link.ask(call.id, "secret", reference=reference))
            self._opened[body["notifier"]] = made(inputs)
            return None
        if call.type == "notify":
            _known(self._opened, body["notifier"], "nobody has opened a notifier").notify(body["event"])
            return None
        if call.type not in ("plan", "apply", "rollback"):
            raise StageError(f"the plugin does not know the call `{call.type}`", help="use a newer plugin")
        stage = _known(self._stages, body["kind"], "the plugin has no stage")
        cx = Context(link, call, body["context"])
        if call.type == "plan":
            return _written_plan(stage.plan(cx, _revealed(body["inputs"], cx.secret)))
        if call.type == "apply":
            return _written_outputs(stage.apply(cx, _read_plan(body["plan"], cx)))
        stage.rollback(cx, [_read_done(one, cx) for one in body["done"]])
        return None


class _Broken(Exception):
    """The conversation cannot go on."""


class _Call:
    """A call that has no result yet."""

    def __init__(self, type: str, id: int) -> None:
        self.type, self.id = type, id
        self.cancelled = threading.Event()
        self.thread: threading.Thread | None = None


@functools.cache
def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output as they were. A `print` of the plugin must not reach the host, and no child of
    it may read what the host says: from now on they are nothing and standard error."""
    streams = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return streams


# Under a host at once, so that also what is printed while the plugin is imported goes to the log.
if "PIPELINE_PLUGIN_DIR" in os.environ:
    _take_streams()


class _Link:
    """The way to the host: a message a line, over what were standard input and output."""

    def __init__(self) -> None:
        self._input, self._output = _take_streams()
        self._writing = threading.Lock()
        self._numbers = itertools.count(1)
        self._asked: dict[int, queue.SimpleQueue[Any]] = {}
        self._ended = False
        self.open: dict[int, _Call] = {}
        self.secrets: dict[tuple[str, str, str], str] = {}

    def messages(self) -> Iterator[tuple[str, int, Any]]:
        while True:
            line = self._input.readline(LONGEST_MESSAGE + 2)
            if not line:
                return
            if len(line) - line.endswith(b"\n") > LONGEST_MESSAGE:
                raise _Broken(f"the host sent a message of more than {LONGEST_MESSAGE} bytes")
            try:
                message = json.loads(line.decode("utf-8"))
                type, id, body = message["type"], message["id"], message["body"]
                if not isinstance(type, str) or isinstance(id, bool) or not isinstance(id, int):
                    raise ValueError("`type` is a text and `id` a number")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise _Broken(f"the host sent what is no message ({error!r}): {line[:200]!r}") from None
            yield type, id, body

    def write(self, message: bytes) -> None:
        try:
            with self._writing:
                self._output.write(message)
                self._output.flush()
        except OSError:
            pass  # A host that does not listen any more is noticed by the end of the input.

    def progress(self, call: int, progress: dict[str, Any]) -> None:
        self.write(_encode("progress", call, progress))

    def ask(self, call: int, service: str, **fields: Any) -> Any:
        number, answer = next(self._numbers), queue.SimpleQueue[Any]()
        message = _encode("ask", number, {"call": call, "service": service, **fields})
        self._asked[number] = answer
        if self._ended:
            self._asked.pop(number, None)
            raise StageError("the host of the plugin is gone")
        self.write(message)
        reply = answer.get()
        if "ok" in reply:
            return reply["ok"]
        error = reply["error"]
        if error["kind"] == "cancelled":
            raise Cancelled(error["message"])
        raise StageError(error["message"], error.get("help"))

    def answered(self, number: int, reply: Any) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            asked.put(reply)

    def cancel(self, id: int) -> None:
        call = self.open.get(id)
        if call is not None:
            call.cancelled.set()

    def end(self) -> list[threading.Thread]:
        """Cancels what is open and lets no question wait any more. The threads that still work."""
        self._ended = True
        for call in list(self.open.values()):
            call.cancelled.set()
        for number in list(self._asked):
            self.answered(number, {"error": {"kind": "failed", "message": "the host of the plugin is gone"}})
        return [call.thread for call in list(self.open.values()) if call.thread is not None]


def _encode(type: str, id: int, body: Any) -> bytes:
    message = {"type": type, "id": id, "body": body}
    text = json.dumps(message, default=_marker, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate, from a file name that is no text, is no JSON for the host.
    line = text.encode("utf-8", "replace") + b"\n"
    if len(line) > LONGEST_MESSAGE:
        raise ValueError(f"a message of {len(line)} bytes is too long for the host")
    return line


def _marker(value: Any) -> Any:
    if isinstance(value, Unknown):
        return {"$unknown": value.origin}
    raise TypeError(f"{type(value).__name__} is no JSON")


def _sealed(value: Any) -> Any:
    """`value` with references in the place of secrets: it is written down and comes back later."""
    if isinstance(value, Secret):
        return {"$secret": value.reference}
    if isinstance(value, dict):
        return {key: _sealed(inner) for key, inner in value.items()}
    return [_sealed(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _revealed(value: Any, secret: Callable[[str], str]) -> Any:
    """`value` with secrets and unknown values in the place of their markers."""
    if isinstance(value, list):
        return [_revealed(inner, secret) for inner in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if isinstance(inner, str) and key == "$unknown":
            return Unknown(inner)
        if isinstance(inner, str) and key == "$secret":
            return secret(inner)
    return {key: _revealed(inner, secret) for key, inner in value.items()}


def _read_outputs(body: dict[str, Any]) -> Outputs:
    resources = [Resource(one["kind"], one["name"], one["attributes"]) for one in body.get("resources", [])]
    return Outputs(body.get("values", {}), resources)


def _written_outputs(outputs: Outputs) -> dict[str, Any]:
    return {"values": outputs.values, "resources": [vars(resource) for resource in outputs.resources]}


def _read_plan(body: dict[str, Any], cx: Context) -> StagePlan:
    changes = []
    for one in body.get("changes", []):
        attributes = {change["path"]: (change["before"], change["after"]) for change in one.get("attributes", [])}
        words = one.get("reason"), one.get("irreversible")
        changes.append(Change(one["resource"]["kind"], one["resource"]["name"], one["action"], attributes, *words))
    return StagePlan(changes, _read_outputs(body.get("outputs", {})), _revealed(body.get("detail"), cx.secret))


def _written_plan(plan: StagePlan) -> dict[str, Any]:
    changes = [
        {
            "resource": {"kind": change.kind, "name": change.name},
            "action": change.action,
            "attributes": [
                {"path": path, "before": before, "after": after} for path, (before, after) in change.attributes.items()
            ],
            "reason": change.reason,
            "irreversible": change.irreversible,
        }
        for change in plan.changes
    ]
    return {"changes": changes, "outputs": _written_outputs(plan.outputs), "detail": _sealed(plan.detail)}


def _read_done(body: dict[str, Any], cx: Context) -> Done:
    before, after = _revealed(body.get("before"), cx.secret), _revealed(body.get("after"), cx.secret)
    return Done(body["resource"]["kind"], body["resource"]["name"], body["action"], before, after)


def _written_error(error: PluginError) -> dict[str, Any]:
    message = _one_line(str(error))
    written: dict[str, Any] = {"kind": error.kind, "message": message, "help": error.help, "field": error.field}
    if error.so_far is not None:
        written["so_far"] = _written_outputs(error.so_far)
    return written


V = TypeVar("V")


def _known(table: dict[str, V], name: str, otherwise: str) -> V:
    if name not in table:
        raise StageError(f"{otherwise} `{name}`")
    return table[name]


def _one_line(text: str) -> str:
    return " ".join(str(text).split("\n")).strip()
