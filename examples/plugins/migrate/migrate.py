#!/usr/bin/env python3
"""The stage `migrate`: brings a database to a version by a command that is carried out once."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Any, Callable

from pipeline_plugin import (
    Cancelled,
    Change,
    Context,
    Done,
    InputError,
    Outputs,
    Plugin,
    StageError,
    StagePlan,
    Unknown,
)

plugin = Plugin("migrate", "0.1.0")

KIND = "db:migration"

# How many seconds a command has between SIGTERM and SIGKILL.
GRACE = 8.0

# How often a command is looked after, in seconds.
PAUSE = 0.05

# From <linux/prctl.h>: the signal that a process gets when the thread that started it ends.
PR_SET_PDEATHSIG = 1

# How many of a command's last lines are told when it fails.
LAST_LINES = 5

COMMAND = {"type": "array", "items": {"type": "string"}, "minItems": 1}

INPUTS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["command", "status_command", "version"],
    "properties": {
        "command": {
            **COMMAND,
            "description": "The program that migrates the database, and its arguments. Carried out in the folder of "
            "the pipeline's file. It must leave the database as it was if it is ended by SIGTERM.",
        },
        "status_command": {
            **COMMAND,
            "description": "Prints the version that the database has, on the last line of its standard output; "
            "nothing if it has none. It is carried out while planning and must change nothing.",
        },
        "undo_command": {
            "anyOf": [COMMAND, {"type": "null"}],
            "description": "Brings the database back to the version in PREVIOUS_VERSION, which is empty if there was "
            "none. Without it a migration cannot be undone.",
        },
        "version": {"type": "string", "minLength": 1, "description": "The version that the database should have."},
        "database_url": {
            "type": ["string", "null"],
            "x-secret": True,
            "description": "Where the database is and how to log in; the commands get it as DATABASE_URL.",
        },
        "environment": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "default": {},
            "description": "More environment variables of the commands. Not for secrets: an undo needs them, so the "
            "journal has them.",
        },
        "timeout_seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 600,
            "description": "After how many seconds a command that has not ended is stopped.",
        },
    },
    "examples": [
        {
            "command": ["sh", "-c", "echo 0002_users > schema-version"],
            "status_command": ["sh", "-c", "test ! -e schema-version || cat schema-version"],
            "undo_command": ["sh", "-c", 'echo "$PREVIOUS_VERSION" > schema-version'],
            "version": "0002_users",
            "database_url": "postgres://app:password@db.example/app",
        }
    ],
}

OUTPUTS = {
    "type": "object",
    "required": ["version"],
    "properties": {"version": {"type": "string", "description": "The version that the database has."}},
}


@plugin.stage("migrate", "A database migration, carried out as a command", inputs=INPUTS, outputs=OUTPUTS)
class Migrate:
    def plan(self, cx: Context, inputs: dict[str, Any]) -> StagePlan:
        if cx.mode == "destroy":
            return StagePlan()
        if cx.mode == "refresh":
            return drift(cx, inputs)
        wanted, database = inputs["version"], Database.of(inputs)
        outputs = Outputs({"version": wanted})
        missing = database.unknown()
        now = None if missing else database.version(cx)
        if now == wanted:
            return StagePlan(outputs=outputs)
        change = Change(KIND, cx.stage, "run", {"version": (now, wanted)})
        if missing:
            change.reason = f"the version that is there can be asked for once {missing.origin} is known"
        if not database.settings.get("undo_command"):
            change.irreversible = "there is no `undo_command`"
        return StagePlan([change], outputs, detail={**database.settings, "version": wanted})

    def apply(self, cx: Context, plan: StagePlan) -> Outputs:
        database, wanted = Database.of(plan.detail), plan.detail["version"]
        before = database.version(cx)
        for change in plan.changes:
            if before == wanted:
                break  # carried out before a crash
            if before != change.attributes["version"][0]:
                raise StageError(f"the version is {shown(before)} by now", help="plan again")
            if cx.cancelled.is_set():
                raise Cancelled()
            undo = {**database.settings, "version": before}
            intent = cx.intent(change.kind, change.name, change.action, undo)
            database.carry_out(cx, "command")
            now = database.version(cx)
            cx.done(intent, {"version": now})
            if now != wanted:
                raise StageError(
                    f"the command has ended well, and the version is {shown(now)} in the place of {shown(wanted)}",
                    help="look whether `command` and `status_command` mean the same database, and at `version`",
                )
        return plan.outputs

    def rollback(self, cx: Context, done: list[Done]) -> None:
        for one in reversed(done):
            database, previous = Database.of(one.before), one.before["version"]
            now = database.version(cx)
            if now == previous:
                continue  # it did not happen, or is undone already
            if not database.settings.get("undo_command"):
                raise StageError(
                    f"the version is {shown(now)}, and there is no `undo_command`",
                    help=f"bring the database back to {shown(previous)} by hand, if the app before cannot work with it",
                )
            database.carry_out(cx, "undo_command", {"PREVIOUS_VERSION": previous or ""})
            now = database.version(cx)
            if now != previous:
                raise StageError(
                    f"`undo_command` has ended well, and the version is {shown(now)}, not {shown(previous)}"
                )


def drift(cx: Context, inputs: dict[str, Any]) -> StagePlan:
    """How the version differs from the one that was last there: before is that one, after is now."""
    database = Database.of(inputs)
    if cx.prior is None or database.unknown():
        return StagePlan(outputs=cx.prior or Outputs())
    then, now = cx.prior.values.get("version"), database.version(cx)
    change = Change(KIND, cx.stage, "run", {"version": (then, now)}, "it was changed outside of the pipeline")
    return StagePlan([change] if now != then else [], cx.prior)


class Database:
    """The commands that know the database, and what they need."""

    KEYS = ("command", "status_command", "undo_command", "database_url", "environment", "timeout_seconds")

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    @classmethod
    def of(cls, inputs: dict[str, Any]) -> Database:
        for key in ("command", "status_command"):
            if key not in inputs:
                raise InputError(key, "it is missing")
        return cls({key: inputs[key] for key in cls.KEYS if inputs.get(key) is not None})

    def unknown(self) -> Unknown | None:
        """What is not known yet and must be, for asking which version there is."""
        environment = self.settings.get("environment", {})
        values = list(environment.values()) if isinstance(environment, dict) else [environment]
        values += [self.settings.get(key) for key in ("database_url", "timeout_seconds")]
        status = self.settings["status_command"]
        values += status if isinstance(status, list) else [status]
        return next((value for value in values if isinstance(value, Unknown)), None)

    def version(self, cx: Context) -> str | None:
        """The version that is there. Its command's errors go to the log."""
        lines: list[str] = []
        self._run(cx, "status_command", {}, lines.append, errors=None)
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else None

    def carry_out(self, cx: Context, which: str, variables: dict[str, str] | None = None) -> None:
        """Carries a command out. What it says is told to people who watch."""
        self._run(cx, which, variables or {}, cx.note, errors=subprocess.STDOUT)

    def _run(
        self, cx: Context, which: str, variables: dict[str, str], tell: Callable[[str], None], errors: int | None
    ) -> None:
        command, limit = self.settings[which], self.settings.get("timeout_seconds", 600)
        environment = {**os.environ, **self.settings.get("environment", {}), **variables}
        if "database_url" in self.settings:
            environment["DATABASE_URL"] = self.settings["database_url"]
        forget_plugin(environment)
        try:
            # A session of its own: what the command starts can be ended with it.
            process = subprocess.Popen(
                command,
                cwd=cx.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                preexec_fn=ends_with(os.getpid()),
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise StageError(f"`{which}` cannot be started: {error}", help=f"look at `{which}`: {command}") from None
        last: deque[str] = deque(maxlen=LAST_LINES)

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                last.append(line.rstrip())
                tell(line.rstrip())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        deadline = time.monotonic() + limit
        while process.poll() is None:
            late = time.monotonic() > deadline
            if late or cx.cancelled.is_set():
                end(process, reader)
                if not late:
                    raise Cancelled()
                help = "raise `timeout_seconds`, or look at what it waits for"
                raise StageError(f"`{which}` did not end within {limit} s and was stopped", help)
            cx.cancelled.wait(PAUSE)
        # What the command has left running may keep the pipe open.
        reader.join(1.0)
        if process.returncode != 0:
            how = f"code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
            said = "; ".join(line for line in last if line)
            message = f"`{shlex.join(command)}` ended with {how}" + (f": {said}" if said else "")
            raise StageError(message, help=f"carry out `{which}` by hand to see more")


def ends_with(plugin: int) -> Callable[[], None] | None:
    """Has Linux end a command when the plugin is gone, however that came: nobody could stop it any more."""
    if sys.platform != "linux":
        return None
    # Loaded here: between fork and exec hardly anything may be done.
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != plugin:
            os._exit(1)

    return prepare


def end(process: subprocess.Popen[str], reader: threading.Thread) -> None:
    """Ends the process and all of its group: asks first, then forces."""
    send_signal(process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    # The first process of the group may be gone before those that do the work. Once all are, nobody holds the
    # output any more; whether the group exists would not tell, as zombies count.
    while (process.poll() is None or reader.is_alive()) and time.monotonic() < deadline:
        time.sleep(PAUSE)
    send_signal(process, signal.SIGKILL)
    process.wait()


def send_signal(process: subprocess.Popen[str], what: signal.Signals) -> None:
    # Nobody may be left; macOS says it by the second error.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, what)


def forget_plugin(environment: dict[str, str]) -> None:
    """Takes out what the host has set for the plugin: a command in Python would find the plugin's modules."""
    folder = environment.pop("PIPELINE_PLUGIN_DIR", None)
    paths = environment.pop("PYTHONPATH", "").split(os.pathsep)
    others = [path for path in paths if path and path != folder]
    if others:
        environment["PYTHONPATH"] = os.pathsep.join(others)


def shown(version: str | None) -> str:
    return "none" if version is None else f"`{version}`"


if __name__ == "__main__":
    plugin.run()
