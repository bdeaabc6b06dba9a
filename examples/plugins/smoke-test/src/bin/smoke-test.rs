//! The plugin as an executable: `uses = "./smoke-test"`.

fn main() {
    pipeline_plugin::run(smoke_test::plugin());
}
