//! Swapping a notifier is one line, and the built-in ones are the same when they are loaded.

use serde_json::Value;

use crate::place::Place;
use crate::server::Server;

/// What a notifier posts of a run with one stage, without what differs from run to run.
fn posts(place: &Place, uses: &str, inputs: &str) -> Vec<String> {
    let server = Server::start();
    place.write(&format!(
        "[stages.registry]\nuses = \"ecr\"\n[notify.it]\nuses = {uses}\n{inputs} = \"{}\"\n",
        server.url("/hook")
    ));
    let _ = place.run(&["run"]).expect_code(0);
    let _ = place.run(&["destroy", "--yes"]).expect_code(0);
    server.take().iter().map(without_the_moment).collect()
}

fn without_the_moment(body: &Value) -> String {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        for key in ["run", "at", "elapsed_ms"] {
            fields.remove(key);
        }
    }
    // Times and durations in texts.
    let words = body.to_string();
    words
        .split([' ', '"', '|'])
        .filter(|word| !word.chars().any(|c| c.is_ascii_digit()))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn built_in_and_loaded_notifiers_say_the_same() {
    let place = Place::new();
    for (built_in, library, input) in
        [("webhook", "notify_webhook_plugin", "url"), ("slack", "notify_slack_plugin", "webhook")]
    {
        place.library(library);
        let wanted = posts(&place, &format!("\"{built_in}\""), input);
        assert!(wanted.len() >= 4, "{built_in}: {wanted:?}");
        for isolation in ["", "\nisolation = \"process\""] {
            let found = posts(&place, &format!("\"./lib{library}.so\"{isolation}"), input);
            assert_eq!(found, wanted, "{built_in} {isolation}");
        }
    }
}

#[test]
fn a_notifier_that_dies_delays_and_fails_nothing_unless_it_is_required() {
    let place = Place::new();
    let script = "#!/usr/bin/env python3\nimport json, sys\nfor line in sys.stdin:\n    m = json.loads(line)\n    \
                  if m['type'] == 'notify': sys.exit('gone')\n    ok = None\n    if m['type'] == 'hello':\n        \
                  ok = {'protocol': 1, 'name': 'dies', 'notifiers': [{'kind': 'dies', 'summary': 'Dies', \
                  'inputs': {'type': 'object'}}]}\n    print(json.dumps({'type': 'result', 'id': m['id'], \
                  'body': {'ok': ok}}), flush=True)\n";
    place.executable("dies.py", script);
    let text = "[stages.registry]\nuses = \"ecr\"\n[notify.it]\nuses = \"./dies.py\"\n";
    place.write(text);
    let finished = place.run(&["run"]).expect_code(0);
    assert!(finished.stdout.contains("the notifier `it` misses events"), "{finished:?}");
    let _ = place.run(&["destroy", "--yes"]).expect_code(0);
    place.write(&format!("{text}required = true\n"));
    let finished = place.run(&["run"]).expect_code(1);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains("the required notifier `it`") && said.contains("gone"), "{finished:?}");
}
