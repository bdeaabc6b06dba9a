//! Repositories in memory: what tests use in place of the ECR service.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Digest, ManifestRecord, NewImage, Reference, Refusal, Repositories, Scope};

/// Repositories that live as long as the value. The password of a scope is `ACCOUNT/REGION`.
#[derive(Debug, Default)]
pub struct MemoryRepositories {
    repositories: Mutex<HashMap<(Scope, String), Repository>>,
}

#[derive(Debug, Default)]
struct Repository {
    immutable: bool,
    blobs: BTreeSet<Digest>,
    images: BTreeMap<Digest, NewImage>,
    tags: BTreeMap<String, Digest>,
}

impl MemoryRepositories {
    /// Creates a repository.
    pub fn create(&self, scope: &Scope, name: &str, immutable: bool) {
        let repository = Repository { immutable, ..Repository::default() };
        self.locked().insert((scope.clone(), name.to_owned()), repository);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<(Scope, String), Repository>> {
        self.repositories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        scope: &Scope,
        name: &str,
        work: impl FnOnce(&mut Repository) -> T,
    ) -> Result<T, Refusal> {
        let mut all = self.locked();
        let found = all.get_mut(&(scope.clone(), name.to_owned()));
        found.map(work).ok_or_else(|| Refusal::no_repository(scope, name))
    }
}

impl Repositories for MemoryRepositories {
    fn authenticate(&self, password: &str) -> Result<Scope, Refusal> {
        let (account, region) = password.split_once('/').ok_or(Refusal::Unauthorized)?;
        Ok(Scope::new(account, region))
    }

    fn exists(&self, scope: &Scope, repository: &str) -> bool {
        self.with(scope, repository, |_| ()).is_ok()
    }

    fn has_blob(&self, scope: &Scope, repository: &str, blob: &Digest) -> bool {
        self.with(scope, repository, |found| found.blobs.contains(blob)).unwrap_or(false)
    }

    fn add_blob(&self, scope: &Scope, repository: &str, blob: &Digest) -> Result<(), Refusal> {
        self.with(scope, repository, |found| {
            found.blobs.insert(blob.clone());
        })
    }

    fn holds_blob(&self, scope: &Scope, blob: &Digest) -> bool {
        self.locked().iter().any(|((owner, _), found)| owner == scope && found.blobs.contains(blob))
    }

    fn put_image(&self, scope: &Scope, repository: &str, image: NewImage) -> Result<(), Refusal> {
        self.with(scope, repository, |found| {
            if let Some(tag) = &image.tag {
                if found.immutable && found.tags.contains_key(tag) {
                    let repository = repository.to_owned();
                    return Err(Refusal::TagImmutable { tag: tag.clone(), repository });
                }
                found.tags.insert(tag.clone(), image.manifest.digest.clone());
            }
            found.images.insert(image.manifest.digest.clone(), image);
            Ok(())
        })?
    }

    fn resolve(
        &self,
        scope: &Scope,
        repository: &str,
        reference: &Reference,
    ) -> Result<Option<ManifestRecord>, Refusal> {
        self.with(scope, repository, |found| {
            let digest = match reference {
                Reference::Tag(tag) => found.tags.get(tag)?,
                Reference::Digest(digest) => digest,
            };
            found.images.get(digest).map(|image| image.manifest.clone())
        })
    }

    fn tags(&self, scope: &Scope, repository: &str) -> Result<Vec<String>, Refusal> {
        self.with(scope, repository, |found| found.tags.keys().cloned().collect())
    }

    fn referrers(
        &self,
        scope: &Scope,
        repository: &str,
        subject: &Digest,
    ) -> Result<Vec<(ManifestRecord, Option<String>)>, Refusal> {
        self.with(scope, repository, |found| {
            let referring = found.images.values().filter(|image| image.subject.as_ref() == Some(subject));
            referring.map(|image| (image.manifest.clone(), image.artifact_type.clone())).collect()
        })
    }

    fn delete(&self, scope: &Scope, repository: &str, reference: &Reference) -> Result<bool, Refusal> {
        self.with(scope, repository, |found| match reference {
            Reference::Tag(tag) => found.tags.remove(tag).is_some(),
            Reference::Digest(digest) => {
                found.tags.retain(|_, tagged| tagged != digest);
                found.images.remove(digest).is_some()
            }
        })
    }
}
