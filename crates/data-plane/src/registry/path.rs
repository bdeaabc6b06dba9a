//! Paths below `/v2/`: repository names contain slashes, so they are read from the end.

use uuid::Uuid;

use super::problem::Problem;
use super::{Digest, Reference};
use crate::image::{valid_repository, valid_tag};

/// What a path means within its repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Blob(Digest),
    Uploads,
    Upload(Uuid),
    Manifest(Reference),
    Tags,
    Referrers(Digest),
}

/// Reads `<repository>/<target>`.
pub(super) fn parse(path: &str) -> Result<(String, Target), Problem> {
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let segments: Vec<&str> = path.split('/').collect();
    let (name, target) = match segments.as_slice() {
        [name @ .., "blobs", "uploads", ""] | [name @ .., "blobs", "uploads"] => (name, Target::Uploads),
        [name @ .., "blobs", "uploads", id] => (name, Target::Upload(upload_id(id))),
        [name @ .., "blobs", digest] => (name, Target::Blob(parse_digest(digest)?)),
        [name @ .., "manifests", reference] => (name, Target::Manifest(parse_reference(reference)?)),
        [name @ .., "tags", "list"] => (name, Target::Tags),
        [name @ .., "referrers", digest] => (name, Target::Referrers(parse_digest(digest)?)),
        _ => return Err(Problem::not_found()),
    };
    let name = name.join("/");
    if valid_repository(&name) { Ok((name, target)) } else { Err(Problem::name_invalid(&name)) }
}

/// An id that is none of ours is as unknown as the nil one, which is never given out.
fn upload_id(text: &str) -> Uuid {
    text.parse().unwrap_or(Uuid::nil())
}

/// Reads a digest of a path or a parameter.
pub(super) fn parse_digest(text: &str) -> Result<Digest, Problem> {
    text.parse().map_err(|error: crate::image::InvalidDigest| Problem::digest_invalid(error.to_string()))
}

fn parse_reference(text: &str) -> Result<Reference, Problem> {
    if text.contains(':') {
        return Ok(Reference::Digest(parse_digest(text)?));
    }
    if valid_tag(text) { Ok(Reference::Tag(text.to_owned())) } else { Err(Problem::tag_invalid(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_target_behind_any_name() {
        let digest = Digest::of(b"x");
        for name in ["hello", "team/hello", "a/b/c", "blobs/uploads", "manifests/tags"] {
            let target = |rest: &str| parse(&format!("{name}/{rest}")).unwrap();
            assert_eq!(target("tags/list"), (name.to_owned(), Target::Tags));
            assert_eq!(target("blobs/uploads/").1, Target::Uploads);
            assert_eq!(target(&format!("blobs/{digest}")), (name.to_owned(), Target::Blob(digest.clone())));
            let tagged = Target::Manifest(Reference::Tag("v1.0".to_owned()));
            assert_eq!(target("manifests/v1.0"), (name.to_owned(), tagged));
        }
        for wrong in [
            "",
            "hello",
            "/tags/list",
            "UP/tags/list",
            "a/manifests/-x",
            "a/blobs/sha256:1",
            "a/../b/tags/list",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
