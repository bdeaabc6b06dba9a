//! Writing an object only if it is still what one has read.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};

use super::refusal::is_without_bucket;

/// How often a write is repeated that was refused beside another one, of which nothing is there: S3 answers so where two
/// requests for one object meet, and wants to be asked again
/// (docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
const CONFLICTS: u32 = 3;

/// How long after it was refused.
const PAUSE: Duration = Duration::from_millis(200);

/// What an object holds.
pub(crate) struct Found {
    pub(crate) bytes: Bytes,
    pub(crate) version: UpdateVersion,
    /// When it was written, by the clock of the store.
    pub(crate) written: SystemTime,
}

/// What came of a conditional write.
pub(crate) enum Put {
    /// The object holds what was written.
    Written(UpdateVersion),
    /// It holds something else than what was expected, and was left alone.
    Other(Option<Found>),
}

/// Reads an object; `None` if there is none. Without the bucket there is an error.
pub(crate) async fn get(store: &dyn ObjectStore, path: &Path) -> Result<Option<Found>, Error> {
    let result = match store.get(path).await {
        Ok(result) => result,
        Err(error @ Error::NotFound { .. }) if !is_without_bucket(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let version = UpdateVersion { e_tag: result.meta.e_tag.clone(), version: result.meta.version.clone() };
    let written = result.meta.last_modified.into();
    Ok(Some(Found { bytes: result.bytes().await?, version, written }))
}

/// Writes an object if it still has the `expected` version; `None` expects that there is none.
///
/// An error may hide a success: the answer got lost, and when the client asked again, its own first
/// request had changed the object. So what counts is what is there. No two writers may write the same
/// bytes.
///
/// # Errors
/// The object is not written as far as can be told; the request may still arrive.
pub(crate) async fn put(
    store: &dyn ObjectStore,
    path: &Path,
    bytes: Bytes,
    expected: Option<&UpdateVersion>,
) -> Result<Put, Error> {
    let mut left = CONFLICTS;
    loop {
        match put_once(store, path, bytes.clone(), expected).await {
            Err(Error::AlreadyExists { .. }) if left > 0 => left -= 1,
            done => return done,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn put_once(
    store: &dyn ObjectStore,
    path: &Path,
    bytes: Bytes,
    expected: Option<&UpdateVersion>,
) -> Result<Put, Error> {
    let mode = expected.map_or(PutMode::Create, |version| PutMode::Update(version.clone()));
    let options = PutOptions { mode, ..PutOptions::default() };
    let error = match store.put_opts(path, bytes.clone().into(), options).await {
        Ok(result) if result.e_tag.is_some() => return Ok(Put::Written(result.into())),
        // A store that does not tell the tag is asked for it.
        Ok(_) => None,
        Err(error) => Some(error),
    };
    let found = get(store, path).await;
    match (found, error) {
        (Ok(Some(found)), _) if found.bytes == bytes => Ok(Put::Written(found.version)),
        (Ok(found), None) => Ok(Put::Other(found)),
        (Ok(found), Some(error)) => {
            let now = found.as_ref().map(|found| &found.version.e_tag);
            let unchanged = now == expected.map(|expected| &expected.e_tag);
            if unchanged { Err(error) } else { Ok(Put::Other(found)) }
        }
        (Err(error), None) | (Err(_), Some(error)) => Err(error),
    }
}
