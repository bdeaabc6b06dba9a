#!/usr/bin/env python3
"""The stage `{{kind}}`: one small text file, kept as the pipeline says."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from pipeline_plugin import (
    Cancelled,
    Change,
    Context,
    Done,
    InputError,
    Outputs,
    Plugin,
    Resource,
    StageError,
    StagePlan,
    Unknown,
)

plugin = Plugin("{{name}}", "0.1.0")

KIND = "{{kind}}:file"

INPUTS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path", "content"],
    "properties": {
        "path": {
            "type": "string",
            "minLength": 1,
            "description": "The file, below the folder of the pipeline's file. A change moves it.",
        },
        "content": {"type": "string", "description": "What is in the file."},
    },
    "examples": [{"path": "{{name}}.txt", "content": "Hello\n"}],
}

OUTPUTS = {
    "type": "object",
    "required": ["sha256"],
    "properties": {"sha256": {"type": "string", "description": "SHA-256 of the content, in hexadecimal digits."}},
}


@plugin.stage("{{kind}}", "Keeps one small text file", inputs=INPUTS, outputs=OUTPUTS)
class FileStage:
    def plan(self, cx: Context, inputs: dict[str, Any]) -> StagePlan:
        if cx.mode == "refresh":
            return drift(cx)
        path, content = inputs["path"], inputs["content"]
        if isinstance(path, Unknown):
            raise InputError("path", "it must be known while planning; write it out")
        # Which files there should be. What this stage has made and is not wanted any more is removed.
        owned = [resource.name for resource in cx.prior.resources] if cx.prior else []
        wanted: dict[str, Any] = dict.fromkeys(owned)
        if cx.mode == "converge":
            wanted[path] = content
        elif read(cx, path) == content:
            # A run that was killed may have made it without being remembered.
            wanted[path] = None
        changes = []
        for name, after in wanted.items():
            before = read(cx, name)
            if before != after:
                changes.append(Change(KIND, name, action(before, after), {"content": (before, after)}))
        outputs = Outputs() if cx.mode == "destroy" else made(path, content)
        return StagePlan(changes, outputs, detail=wanted)

    def apply(self, cx: Context, plan: StagePlan) -> Outputs:
        for change in plan.changes:
            if cx.cancelled.is_set():
                raise Cancelled()
            planned, after = change.attributes["content"][0], plan.detail[change.name]
            before = read(cx, change.name)
            if before == after:
                continue  # done before a crash
            if before != planned:
                raise StageError(f"{change.name} was changed since the plan was made", help="plan again")
            intent = cx.intent(change.kind, change.name, change.action, before)
            write(cx, change.name, after)
            cx.done(intent, {} if after is None else {"sha256": digest(after)})
        return plan.outputs

    def rollback(self, cx: Context, done: list[Done]) -> None:
        for one in reversed(done):
            write(cx, one.name, one.before)


def drift(cx: Context) -> StagePlan:
    """How the files differ from what was last made: before is what was made, after what is there."""
    plan = StagePlan(outputs=cx.prior or Outputs())
    for resource in plan.outputs.resources:
        now = read(cx, resource.name)
        then, found = resource.attributes["sha256"], None if now is None else digest(now)
        if found != then:
            plan.changes.append(Change(KIND, resource.name, action(then, found), {"sha256": (then, found)}))
    return plan


def made(path: str, content: Any) -> Outputs:
    sha256 = Unknown(f"{KIND}.{path}.sha256") if isinstance(content, Unknown) else digest(content)
    return Outputs({"sha256": sha256}, [Resource(KIND, path, {"sha256": sha256})])


def action(before: Any, after: Any) -> str:
    if before is None:
        return "create"
    return "delete" if after is None else "update"


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def place(cx: Context, name: str) -> Path:
    path = (cx.directory / name).resolve()
    if cx.directory.resolve() not in path.parents:
        raise InputError("path", f"{name} is not below the folder of the pipeline's file")
    if not path.parent.is_dir():
        raise InputError("path", f"there is no folder {path.parent}; make it first")
    return path


def read(cx: Context, name: str) -> str | None:
    """The content of the file; None if there is none."""
    try:
        return place(cx, name).read_bytes().decode()
    except FileNotFoundError:
        return None
    except (IsADirectoryError, UnicodeDecodeError):
        raise InputError("path", f"{name} is there and is no text file") from None


def write(cx: Context, name: str, content: str | None) -> None:
    """Replaces the file as a whole; removes it if there is to be none."""
    path = place(cx, name)
    if content is None:
        path.unlink(missing_ok=True)
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            file.write(content.encode())
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


if __name__ == "__main__":
    plugin.run()
