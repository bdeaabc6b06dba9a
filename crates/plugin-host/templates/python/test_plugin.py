"""Tests of the plugin as its host sees it: python3 -m unittest"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class Host:
    """Starts the plugin and speaks the protocol with it."""

    def __init__(self, plugin: Path) -> None:
        # As the real host does: a copy of the file alone, which finds its siblings through PYTHONPATH.
        self.folder = tempfile.TemporaryDirectory()
        copy = shutil.copy(plugin, self.folder.name)
        beside = str(plugin.parent)
        environment = {"PIPELINE_PLUGIN_DIR": beside, "PYTHONPATH": beside, "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, copy],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        # A plugin that does not answer fails the test and does not hold it up.
        self.watch = threading.Timer(60, self.process.kill)
        self.watch.start()
        self.calls = 0
        self.intents: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def call(self, type: str, body: Any) -> dict[str, Any]:
        """Carries out a call and answers what the plugin asks meanwhile. Returns `{"ok": …}` or `{"error": …}`."""
        self.calls += 1
        self.send(type, self.calls, body)
        while True:
            message = self.read()
            if message["type"] == "ask":
                self.send("answer", message["id"], self.answer(type, message["body"]))
            elif message["type"] == "progress":
                self.hear(message["body"]["message"])
            elif message["type"] == "result":
                assert message["id"] == self.calls, message
                reply: dict[str, Any] = message["body"]
                return reply

    def answer(self, call: str, question: dict[str, Any]) -> dict[str, Any]:
        if question["service"] == "intent" and call == "apply":
            self.intents.append(question["intent"])
            return {"ok": len(self.intents) - 1}
        if question["service"] == "done" and call == "apply":
            self.intents[question["intent"]]["after"] = question["after"]
            return {"ok": None}
        return {"error": {"kind": "failed", "message": f"no {question['service']} here"}}

    def hear(self, note: str) -> None:
        self.notes.append(note)

    def send(self, type: str, id: int, body: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"type": type, "id": id, "body": body}).encode() + b"\n")
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the plugin has ended"
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> int:
        """Ends the conversation; the exit code."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait()
        self.process.stdout.close()
        self.watch.cancel()
        self.folder.cleanup()
        return code


class PluginTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.directory = Path(folder.name)
        self.host = Host(HERE / "plugin.py")
        self.addCleanup(self.host.close)
        self.prior: dict[str, Any] | None = None

    def call(self, type: str, mode: str = "converge", **body: Any) -> dict[str, Any]:
        context = {
            "stage": "example",
            "run": "01932d07-4a00-7000-8000-000000000001",
            "pipeline": {"name": "hello", "environment": "local"},
            "directory": str(self.directory),
            "mode": mode,
            "prior": self.prior,
            "idempotency_key": "0" * 32,
        }
        return self.host.call(type, {"kind": "{{kind}}", "context": context, **body})

    def plan(self, content: Any, path: str = "a.txt", mode: str = "converge") -> dict[str, Any]:
        reply = self.call("plan", mode, inputs={"path": path, "content": content})
        self.assertIn("ok", reply)
        plan: dict[str, Any] = reply["ok"]
        return plan

    def apply(self, plan: dict[str, Any], mode: str = "converge") -> None:
        reply = self.call("apply", mode, plan=plan)
        self.assertIn("ok", reply)
        self.prior = {"outputs": reply["ok"]}

    def actions(self, plan: dict[str, Any]) -> list[str]:
        return [f"{change['action']} {change['resource']['name']}" for change in plan["changes"]]

    def text(self, path: str = "a.txt") -> str | None:
        file = self.directory / path
        return file.read_text() if file.exists() else None

    def test_hello(self) -> None:
        welcome = self.host.call("hello", {"protocol": 1, "host": "test"})["ok"]
        self.assertEqual((welcome["protocol"], welcome["name"]), (1, "{{name}}"))
        self.assertEqual([stage["kind"] for stage in welcome["stages"]], ["{{kind}}"])

    def test_it_does_what_its_plan_says_and_then_there_is_nothing_to_do(self) -> None:
        plan = self.plan("one")
        self.assertEqual(self.actions(plan), ["create a.txt"])
        self.assertIsNone(self.text(), "a plan only reads")
        self.apply(plan)
        self.assertEqual(self.text(), "one")
        self.assertEqual(len(self.host.intents), 1)
        self.assertEqual(self.host.intents[0]["resource"], plan["changes"][0]["resource"])
        self.assertEqual(self.plan("one")["changes"], [])
        self.apply(plan)
        self.assertEqual(len(self.host.intents), 1, "what is as planned is left alone")

    def test_a_rollback_restores_what_was_there(self) -> None:
        for before in (None, "zero"):
            if before is not None:
                (self.directory / "a.txt").write_text(before)
            self.host.intents.clear()
            self.apply(self.plan("one"))
            for _ in range(2):
                self.assertEqual(self.call("rollback", done=self.host.intents), {"ok": None})
                self.assertEqual(self.text(), before)

    def test_a_new_path_moves_the_file_and_a_destruction_removes_it(self) -> None:
        self.apply(self.plan("one"))
        plan = self.plan("one", path="b.txt")
        self.assertEqual(sorted(self.actions(plan)), ["create b.txt", "delete a.txt"])
        self.apply(plan)
        self.assertEqual((self.text("a.txt"), self.text("b.txt")), (None, "one"))
        plan = self.plan("one", path="b.txt", mode="destroy")
        self.assertEqual(self.actions(plan), ["delete b.txt"])
        self.apply(plan, mode="destroy")
        self.assertEqual(self.text("b.txt"), None)

    def test_a_refresh_tells_what_others_have_changed(self) -> None:
        self.apply(self.plan("one"))
        self.assertEqual(self.plan("two", mode="refresh")["changes"], [])
        (self.directory / "a.txt").write_text("three")
        self.assertEqual(self.actions(self.plan("two", mode="refresh")), ["update a.txt"])

    def test_an_unknown_content_is_planned_as_unknown(self) -> None:
        unknown = {"$unknown": "stages.other.text"}
        plan = self.plan(unknown)
        self.assertEqual(plan["changes"][0]["attributes"][0]["after"], unknown)
        self.assertIn("$unknown", plan["outputs"]["values"]["sha256"])

    def test_a_plan_that_is_stale_is_refused(self) -> None:
        plan = self.plan("one")
        (self.directory / "a.txt").write_text("of somebody else")
        self.assertIn("changed since the plan", self.call("apply", plan=plan)["error"]["message"])
        self.assertEqual(self.text(), "of somebody else")

    def test_a_path_outside_of_the_folder_is_refused(self) -> None:
        error = self.call("plan", inputs={"path": "../a.txt", "content": ""})["error"]
        self.assertEqual((error["kind"], error["field"]), ("input", "path"))

    def test_the_end_of_the_input_ends_the_plugin(self) -> None:
        self.assertEqual(self.host.close(), 0)


if __name__ == "__main__":
    unittest.main()
