//! The child of `isolation = "process"` by itself, called as `pipeline plugin-host LIBRARY` is.

fn main() {
    let library = std::env::args_os().nth(2).unwrap_or_default();
    if let Err(error) = pipeline_plugin_host::serve(library.as_ref()) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
