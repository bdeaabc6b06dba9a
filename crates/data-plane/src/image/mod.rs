//! Images in the content store: naming them, reading them, unpacking them.

mod archive;
mod digest;
pub mod manifest;
mod reader;
mod reference;
mod store;
mod unpack;

pub use archive::write_docker_archive;
pub use digest::{Digest, InvalidDigest};
pub use reader::{Image, ImageError, Images, RunConfig};
pub use reference::{ImageRef, InvalidReference, Location, valid_repository, valid_tag};
pub use store::{BlobStore, BlobUpload, UploadError};
pub use unpack::{UnpackError, unpack};
