"""Tests of the stage `migrate` as its host sees it: python3 -m unittest"""

from __future__ import annotations

import shlex
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any

from protocol_host import Host

PLUGIN = Path(__file__).absolute().parent / "migrate.py"

URL = "postgres://app:hush-hush@db.example/app"


class MigrateHost(Host):
    """Knows the secret, and cancels the call once a note says so."""

    def answer(self, call: str, question: dict[str, Any]) -> dict[str, Any]:
        if question["service"] == "secret":
            return {"ok": URL}
        return super().answer(call, question)

    def hear(self, note: str) -> None:
        super().hear(note)
        if note.startswith("cancel me"):
            self.send("cancel", self.calls, None)


class MigrateTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.directory = Path(folder.name)
        self.host = MigrateHost(PLUGIN)
        self.addCleanup(self.host.close)
        self.prior: dict[str, Any] | None = None

    def call(self, type: str, mode: str = "converge", **body: Any) -> dict[str, Any]:
        context = {
            "stage": "schema",
            "run": "01932d07-4a00-7000-8000-000000000001",
            "pipeline": {"name": "hello", "environment": "local"},
            "directory": str(self.directory),
            "mode": mode,
            "prior": self.prior,
            "idempotency_key": "0" * 32,
        }
        return self.host.call(type, {"kind": "migrate", "context": context, **body})

    def inputs(self, command: str, **others: Any) -> dict[str, Any]:
        inputs = {
            "command": ["sh", "-c", command],
            "status_command": ["sh", "-c", "test ! -e version || cat version"],
            "undo_command": ["sh", "-c", 'echo "undone with $DATABASE_URL"; echo "$PREVIOUS_VERSION" > version'],
            "version": "2",
            "database_url": {"$secret": "inputs.database_url"},
            **others,
        }
        return {key: value for key, value in inputs.items() if value is not None}

    def plan(self, inputs: dict[str, Any], mode: str = "converge") -> dict[str, Any]:
        reply = self.call("plan", mode, inputs=inputs)
        self.assertIn("ok", reply)
        plan: dict[str, Any] = reply["ok"]
        return plan

    def version(self) -> str:
        return (self.directory / "version").read_text().strip()

    def test_it_migrates_once_and_undoes_it(self) -> None:
        (self.directory / "version").write_text("1\n")
        inputs = self.inputs('echo "to 2 at $DATABASE_URL as $ROLE"; echo 2 > version', environment={"ROLE": "owner"})
        plan = self.plan(inputs)
        (change,) = plan["changes"]
        self.assertEqual((change["action"], change["resource"]), ("run", {"kind": "db:migration", "name": "schema"}))
        self.assertEqual(change["attributes"], [{"path": "version", "before": "1", "after": "2"}])
        self.assertIsNone(change["irreversible"])
        self.assertEqual(self.version(), "1", "a plan only reads")

        reply = self.call("apply", plan=plan)
        self.assertEqual(reply["ok"]["values"], {"version": "2"})
        self.assertEqual(self.host.notes, [f"to 2 at {URL} as owner"])
        (intent,) = self.host.intents
        self.assertEqual((intent["before"]["version"], intent["after"]), ("1", {"version": "2"}))
        self.assertNotIn("hush", str(plan) + str(intent))

        self.assertEqual(self.plan(inputs)["changes"], [])
        self.assertIn("ok", self.call("apply", plan=plan))
        self.assertEqual(len(self.host.intents), 1, "what is as planned is left alone")

        for _ in range(2):
            self.assertEqual(self.call("rollback", done=self.host.intents), {"ok": None})
            self.assertEqual(self.version(), "1")
        self.assertEqual(self.host.notes[1:], [f"undone with {URL}"])

    def test_a_database_without_a_version_goes_back_to_none(self) -> None:
        plan = self.plan(self.inputs("echo 2 > version"))
        self.assertIsNone(plan["changes"][0]["attributes"][0]["before"])
        self.assertIn("ok", self.call("apply", plan=plan))
        self.assertEqual(self.call("rollback", done=self.host.intents), {"ok": None})
        self.assertEqual(self.version(), "")

    def test_without_an_undo_command_it_says_that_it_cannot_be_undone(self) -> None:
        plan = self.plan(self.inputs("echo 2 > version", undo_command=None))
        self.assertEqual(plan["changes"][0]["irreversible"], "there is no `undo_command`")
        self.assertIn("ok", self.call("apply", plan=plan))
        error = self.call("rollback", done=self.host.intents)["error"]
        self.assertIn("the version is `2`, and there is no `undo_command`", error["message"])
        (self.directory / "version").unlink()
        self.assertEqual(self.call("rollback", done=self.host.intents), {"ok": None}, "it did not happen")

    def test_unknown_values_are_planned_as_unknown(self) -> None:
        unknown = {"$unknown": "stages.image.tag"}
        plan = self.plan(self.inputs("true", version=unknown))
        self.assertEqual(plan["changes"][0]["attributes"][0]["after"], unknown)
        self.assertEqual(plan["outputs"]["values"], {"version": unknown})
        plan = self.plan(self.inputs("true", database_url={"$unknown": "stages.database.url"}))
        self.assertIn("stages.database.url", plan["changes"][0]["reason"])

    def test_a_command_that_fails_or_does_too_little_is_an_error(self) -> None:
        for command, said in (
            ("echo no such table; exit 3", "ended with code 3: no such table"),
            ("kill -9 $$", "ended with signal 9"),
            ("echo 1 > version", "the version is `1` in the place of `2`"),
        ):
            (self.directory / "version").write_text("0\n")
            error = self.call("apply", plan=self.plan(self.inputs(command)))["error"]
            self.assertIn(said, error["message"])
        error = self.call("plan", inputs=self.inputs("true", status_command=["sh", "-c", "exit 1"]))["error"]
        self.assertIn("ended with code 1", error["message"])
        error = self.call("plan", inputs=self.inputs("true", status_command=["./none", "", ""]))["error"]
        self.assertIn("cannot be started", error["message"])

    def test_a_cancellation_ends_everything_that_the_command_has_started(self) -> None:
        # A child that needs a moment to end, of a shell that ends at once.
        script = "trap 'sleep 0.3; echo ended > child; exit' TERM; echo cancel me; while :; do sleep 0.05; done"
        command = f"sh -c {shlex.quote(script)} & wait"
        plan = self.plan(self.inputs(command))
        started = time.monotonic()
        self.assertEqual(self.call("apply", plan=plan)["error"]["kind"], "cancelled")
        self.assertLess(time.monotonic() - started, 7)
        self.assertEqual((self.directory / "child").read_text(), "ended\n")
        (intent,) = self.host.intents
        self.assertIsNone(intent["after"])

    def test_only_what_the_status_command_prints_last_is_the_version(self) -> None:
        status = ["sh", "-c", "echo connecting; echo 7; echo; echo a warning >&2"]
        (change,) = self.plan(self.inputs("true", status_command=status))["changes"]
        self.assertEqual(change["attributes"][0]["before"], "7")

    def test_a_command_that_takes_too_long_is_stopped(self) -> None:
        error = self.call("apply", plan=self.plan(self.inputs("sleep 60", timeout_seconds=0.5)))["error"]
        self.assertIn("did not end within 0.5 s", error["message"])

    def test_the_command_sees_nothing_of_the_plugin(self) -> None:
        command = 'echo "[$PIPELINE_PLUGIN_DIR$PYTHONPATH]"; cat; echo 2 > version'
        self.assertIn("ok", self.call("apply", plan=self.plan(self.inputs(command))))
        self.assertEqual(self.host.notes, ["[]"])

    def test_a_destruction_changes_nothing_and_a_refresh_tells_the_difference(self) -> None:
        (self.directory / "version").write_text("3\n")
        self.assertEqual(self.plan(self.inputs("true"), mode="destroy")["changes"], [])
        self.assertEqual(self.plan(self.inputs("true"), mode="refresh")["changes"], [])
        self.prior = {"outputs": {"values": {"version": "2"}, "resources": []}}
        (change,) = self.plan(self.inputs("true"), mode="refresh")["changes"]
        self.assertEqual(change["attributes"], [{"path": "version", "before": "2", "after": "3"}])


if __name__ == "__main__":
    unittest.main()
