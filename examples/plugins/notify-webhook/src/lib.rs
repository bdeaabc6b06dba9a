//! The built-in notifier `webhook` as a plugin: what is built in and what is loaded is written in the same way.

use pipeline_plugin::Plugin;

fn plugin() -> Plugin {
    Plugin::new("notify-webhook", env!("CARGO_PKG_VERSION")).notifier_kind(notify_webhook::kind())
}

pipeline_plugin::export!(plugin);
