//! The echo as an executable.

mod stage;

fn main() {
    pipeline_plugin::run(stage::plugin(false));
}
