//! Prints the JSON schema of what hosts and plugins say to each other (`cargo xtask schema`).

fn main() {
    println!("{:#}", pipeline_sdk::wire::schema());
}
