//! The world's repositories, as the OCI registry asks for them.

use super::state::{Image, Repository};
use super::token;
use crate::clock::Clock;
use crate::world::{Partition, World};
use pipeline_data_plane::image::Digest;
use pipeline_data_plane::registry::{ManifestRecord, NewImage, Reference, Refusal, Repositories, Scope};

/// The repositories of a world.
#[derive(Clone)]
pub(crate) struct WorldRepositories {
    world: World,
    clock: Clock,
}

impl WorldRepositories {
    /// The repositories of `world`.
    pub(crate) fn new(world: World, clock: Clock) -> Self {
        Self { world, clock }
    }

    fn look<T>(&self, scope: &Scope, name: &str, look: impl FnOnce(&Repository) -> T) -> Result<T, Refusal> {
        let found = self.world.read(|state| {
            let region = state.region(&place(scope))?;
            region.ecr.repositories.get(name).map(look)
        });
        found.ok_or_else(|| Refusal::no_repository(scope, name))
    }

    fn change<T>(
        &self,
        scope: &Scope,
        name: &str,
        change: impl FnOnce(&mut Repository) -> T,
    ) -> Result<T, Refusal> {
        let changed = self.world.write_if(|state| {
            let region = state.region_mut(&scope.account, &scope.region);
            let result = region.ecr.repositories.get_mut(name).map(change);
            let changed = result.is_some();
            (result, changed)
        });
        changed.ok_or_else(|| Refusal::no_repository(scope, name))
    }
}

impl std::fmt::Debug for WorldRepositories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WorldRepositories")
    }
}

fn place(scope: &Scope) -> Partition {
    Partition { account: scope.account.clone(), region: scope.region.clone() }
}

fn record(digest: &Digest, image: &Image) -> ManifestRecord {
    ManifestRecord { digest: digest.clone(), media_type: image.media_type.clone(), length: image.length }
}

/// Adds an image to a repository, or says which tag is in the way.
pub(super) fn add(repository: &mut Repository, new: NewImage, now: jiff::Timestamp) -> Result<(), Refusal> {
    let digest = new.manifest.digest;
    if let Some(tag) = new.tag {
        if repository.image_tags.contains_key(&tag) && repository.mutability.is_immutable(&tag) {
            return Err(Refusal::TagImmutable { tag, repository: repository.name.clone() });
        }
        repository.image_tags.insert(tag, digest.clone());
    }
    let scanned_at = repository.scan_on_push.then_some(now);
    repository.images.entry(digest).or_insert(Image {
        media_type: new.manifest.media_type,
        length: new.manifest.length,
        image_size: new.image_size,
        artifact_type: new.artifact_type,
        subject: new.subject,
        children: new.children,
        pushed_at: now,
        scanned_at,
    });
    Ok(())
}

impl Repositories for WorldRepositories {
    fn authenticate(&self, password: &str) -> Result<Scope, Refusal> {
        token::check(password, self.clock.now())
    }

    fn exists(&self, scope: &Scope, repository: &str) -> bool {
        self.look(scope, repository, |_| ()).is_ok()
    }

    fn has_blob(&self, scope: &Scope, repository: &str, blob: &Digest) -> bool {
        self.look(scope, repository, |found| found.layers.contains(blob)).unwrap_or(false)
    }

    fn add_blob(&self, scope: &Scope, repository: &str, blob: &Digest) -> Result<(), Refusal> {
        self.change(scope, repository, |found| {
            found.layers.insert(blob.clone());
        })
    }

    fn holds_blob(&self, scope: &Scope, blob: &Digest) -> bool {
        self.world.read(|state| {
            let region = state.region(&place(scope));
            region.is_some_and(|region| {
                region.ecr.repositories.values().any(|found| found.layers.contains(blob))
            })
        })
    }

    fn put_image(&self, scope: &Scope, repository: &str, image: NewImage) -> Result<(), Refusal> {
        let now = self.clock.now();
        self.change(scope, repository, |found| add(found, image, now))?
    }

    fn resolve(
        &self,
        scope: &Scope,
        repository: &str,
        reference: &Reference,
    ) -> Result<Option<ManifestRecord>, Refusal> {
        self.look(scope, repository, |found| {
            let digest = match reference {
                Reference::Tag(tag) => found.image_tags.get(tag)?,
                Reference::Digest(digest) => digest,
            };
            found.images.get(digest).map(|image| record(digest, image))
        })
    }

    fn tags(&self, scope: &Scope, repository: &str) -> Result<Vec<String>, Refusal> {
        self.look(scope, repository, |found| found.image_tags.keys().cloned().collect())
    }

    fn referrers(
        &self,
        scope: &Scope,
        repository: &str,
        subject: &Digest,
    ) -> Result<Vec<(ManifestRecord, Option<String>)>, Refusal> {
        self.look(scope, repository, |found| {
            let referring = found.images.iter().filter(|(_, image)| image.subject.as_ref() == Some(subject));
            referring.map(|(digest, image)| (record(digest, image), image.artifact_type.clone())).collect()
        })
    }

    fn delete(&self, scope: &Scope, repository: &str, reference: &Reference) -> Result<bool, Refusal> {
        self.change(scope, repository, |found| match reference {
            Reference::Tag(tag) => found.image_tags.remove(tag).is_some(),
            Reference::Digest(digest) => found.remove_image(digest),
        })
    }
}
