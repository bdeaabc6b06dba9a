//! The plugin as an executable: a message a line.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use pipeline_plugin::wire::PROTOCOL;
use pipeline_plugin::{RunId, Value, json};

struct Conversation {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Conversation {
    fn tell(&mut self, kind: &str, id: u64, body: Value) {
        writeln!(self.input, "{}", json!({ "type": kind, "id": id, "body": body })).expect("it listens");
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it speaks");
        serde_json::from_str(&line).expect("a message")
    }

    /// The next message that is no progress.
    fn hear_what_matters(&mut self) -> Value {
        std::iter::repeat_with(|| self.hear()).find(|message| message["type"] != "progress").expect("one")
    }
}

fn call(rest: &Value) -> Value {
    let mut call = json!({ "kind": "smoke-test", "context": {
        "stage": "smoke", "run": RunId::generate(), "directory": "/", "mode": "converge",
        "pipeline": { "name": "hello", "environment": "staging" }, "idempotency_key": "",
    }});
    call.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
    call
}

#[test]
fn it_says_what_it_has_plans_and_asks_before_it_acts() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smoke-test"));
    let mut plugin = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let (input, output) = (plugin.stdin.take().expect("open"), plugin.stdout.take().expect("open"));
    let mut conversation = Conversation { input, output: BufReader::new(output) };

    conversation.tell("hello", 1, json!({ "protocol": PROTOCOL, "host": "a test" }));
    assert_eq!(conversation.hear()["body"]["ok"]["stages"][0]["kind"], "smoke-test");

    let secret = json!({ "$secret": "inputs.headers.token" });
    let inputs = json!({ "url": "http://127.0.0.1:9/", "attempts": 1, "headers": { "token": secret } });
    conversation.tell("plan", 2, call(&json!({ "inputs": inputs })));
    let question = conversation.hear();
    assert_eq!(
        question["body"],
        json!({ "call": 2, "service": "secret", "reference": "inputs.headers.token" })
    );
    conversation.tell("answer", question["id"].as_u64().expect("a number"), json!({ "ok": "sesame" }));
    let plan = conversation.hear()["body"]["ok"].clone();

    conversation.tell("apply", 3, call(&json!({ "plan": plan })));
    let question = conversation.hear_what_matters();
    assert_eq!(question["body"]["service"], "intent");
    conversation.tell("answer", question["id"].as_u64().expect("a number"), json!({ "ok": 0 }));
    let failed = conversation.hear_what_matters();
    assert_eq!((&failed["type"], &failed["id"]), (&json!("result"), &json!(3)));
    assert_eq!(failed["body"]["error"]["kind"], "failed");

    drop(conversation);
    assert!(plugin.wait().expect("it ends").success());
}
