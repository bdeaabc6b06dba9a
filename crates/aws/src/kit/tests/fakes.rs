//! A world of things, a stage that owns some of them, and a journal.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pipeline_sdk::{
    Context, Done, JsonSchema, Maybe, Recorded, Recorder, ResourceId, StageError, StageName, Value, json,
};
use serde::{Deserialize, Serialize};

use crate::{Attributes, AwsStage, Known, Reading, Resource, Tags, UserTags};

/// What goes wrong at the n-th side effect, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It fails and does nothing.
    Refused(usize),
    /// It is done, and the answer is lost.
    AnswerLost(usize),
    /// The process dies; the side effect happened or not.
    Killed(usize, bool),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Thing {
    pub(super) name: String,
    pub(super) attributes: Attributes,
}

#[derive(Debug, Default)]
pub(super) struct World {
    /// Not keyed by name: a second one of the same name is a bug that must be seen.
    pub(super) things: Vec<Thing>,
    pub(super) mutations: usize,
    pub(super) fault: Option<Fault>,
    /// Whether the first read after each side effect shows what was there before it.
    pub(super) shows_late: bool,
    shown: Option<Vec<Thing>>,
    dead: bool,
    made: usize,
}

impl World {
    pub(super) fn revive(&mut self) {
        (self.dead, self.fault, self.mutations) = (false, None, 0);
    }

    fn mutate(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), StageError> {
        let number = self.mutations;
        self.mutations += 1;
        let (happens, answers) = match self.fault {
            _ if self.dead => (false, false),
            Some(Fault::Refused(n)) if n == number => (false, false),
            Some(Fault::AnswerLost(n)) if n == number => (true, false),
            Some(Fault::Killed(n, happens)) if n == number => {
                self.dead = true;
                (happens, false)
            }
            _ => (true, true),
        };
        if happens {
            self.shown = self.shows_late.then(|| self.things.clone());
            change(self);
        }
        if answers { Ok(()) } else { Err(StageError::failed("no answer")) }
    }

    /// The things by content: ids are told by the name they belong to.
    pub(super) fn content(&self) -> Vec<Value> {
        let owner = |id: &Value| self.things.iter().find(|thing| thing.attributes.value("id") == id);
        let mut content: Vec<_> = self
            .things
            .iter()
            .map(|thing| {
                let mut attributes = thing.attributes.clone();
                attributes.remove("id");
                attributes.retain(|_, value| !value.is_null());
                let parent = thing.attributes.value("parent");
                if !parent.is_null() {
                    attributes.set("parent", owner(parent).map_or("dangling", |parent| &parent.name));
                }
                attributes.to_value()
            })
            .collect();
        content.sort_by_key(|value| value["name"].to_string());
        content
    }
}

pub(super) type SharedWorld = Arc<Mutex<World>>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) color: Maybe<u8>,
    /// Cannot be changed in place.
    pub(super) size: u8,
    /// Belongs to the thing before it.
    pub(super) child: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct ShopInputs {
    pub(super) things: Vec<Wish>,
    #[serde(default)]
    pub(super) adopt: bool,
    #[serde(default)]
    pub(super) tags: UserTags,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ShopOutputs {
    ids: Vec<Maybe<String>>,
}

pub(super) struct Shop(pub(super) SharedWorld);

struct ThingResource {
    world: SharedWorld,
    id: ResourceId,
    wish: Option<(Wish, Option<ResourceId>, Tags)>,
}

#[async_trait]
impl AwsStage for Shop {
    const KIND: &'static str = "shop";
    const SUMMARY: &'static str = "Things.";
    type Inputs = ShopInputs;
    type Facts = ();
    type Outputs = ShopOutputs;

    fn adopts(&self, inputs: &ShopInputs) -> bool {
        inputs.adopt
    }

    fn resources(
        &self,
        cx: &Context,
        inputs: &ShopInputs,
        _: &(),
    ) -> Result<Vec<Box<dyn Resource>>, StageError> {
        let tags = Tags::of(cx, &inputs.tags)?;
        let mut before = None;
        let mut list: Vec<Box<dyn Resource>> = Vec::new();
        for wish in &inputs.things {
            let id = ResourceId::new("test:thing", &wish.name);
            let parent = before.replace(id.clone()).filter(|_| wish.child);
            let wish = Some((wish.clone(), parent, tags.clone()));
            list.push(Box::new(ThingResource { world: Arc::clone(&self.0), id, wish }));
        }
        Ok(list)
    }

    fn recorded(&self, recorded: &Recorded) -> Result<Box<dyn Resource>, StageError> {
        Ok(Box::new(ThingResource { world: Arc::clone(&self.0), id: recorded.id.clone(), wish: None }))
    }

    fn outputs(
        &self,
        _: &Context,
        inputs: &ShopInputs,
        _: &(),
        known: &Known,
    ) -> Result<ShopOutputs, StageError> {
        let id = |wish: &Wish| known.maybe(&ResourceId::new("test:thing", &wish.name), "id");
        Ok(ShopOutputs { ids: inputs.things.iter().map(id).collect() })
    }
}

#[async_trait]
impl Resource for ThingResource {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn replaced_by(&self) -> &'static [&'static str] {
        &["size", "parent"]
    }

    fn desired(&self, known: &Known) -> Result<Option<Attributes>, StageError> {
        Ok(self.wish.as_ref().map(|(wish, parent, tags)| {
            Attributes::of(json!({
                "name": wish.name,
                "color": wish.color.to_value(),
                "size": wish.size,
                "parent": parent.as_ref().map(|parent| known.value(parent, "id")),
                "tags": tags.to_value(),
            }))
        }))
    }

    async fn read(&self, _: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let mut world = self.world.lock().expect("world");
        if world.dead {
            return Err(StageError::failed("the process is dead"));
        }
        let before = world.shown.take();
        let shown = before.as_ref().unwrap_or(&world.things);
        let found = shown.iter().find(|thing| thing.name == self.id.name);
        Ok(found.map(|thing| thing.attributes.clone()))
    }

    async fn create(&self, _: &Context, desired: &Attributes) -> Result<(), StageError> {
        self.world.lock().expect("world").mutate(|world| {
            world.made += 1;
            let mut attributes = desired.clone();
            attributes.set("id", format!("id-{}", world.made));
            world.things.push(Thing { name: self.id.name.clone(), attributes });
        })
    }

    async fn update(
        &self,
        _: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        self.world.lock().expect("world").mutate(|world| {
            let (set, unset) = crate::changed_tags(observed, desired);
            for thing in world.things.iter_mut().filter(|thing| thing.name == self.id.name) {
                thing.attributes.set("color", desired.value("color").clone());
                let mut tags = Attributes::of(thing.attributes.value("tags").clone());
                tags.retain(|key, _| !unset.contains(key));
                set.iter().for_each(|(key, value)| tags.set(key, value));
                thing.attributes.set("tags", tags.to_value());
            }
        })
    }

    async fn delete(&self, _: &Context, observed: &Attributes) -> Result<(), StageError> {
        let mut world = self.world.lock().expect("world");
        // As AWS does: what is used cannot be removed.
        if world.things.iter().any(|thing| thing.attributes.value("parent") == observed.value("id")) {
            return Err(StageError::failed("it has children"));
        }
        world.mutate(|world| {
            world.things.retain(|thing| thing.name != self.id.name);
        })
    }
}

/// A journal in memory. A result that a killed process would not have written is not written.
#[derive(Default)]
pub(super) struct Journal {
    pub(super) entries: Mutex<Vec<Done>>,
}

#[async_trait]
impl Recorder for Journal {
    async fn intent(&self, _: &StageName, intent: Done) -> Result<u64, StageError> {
        let mut entries = self.entries.lock().expect("journal");
        entries.push(intent);
        Ok(entries.len() as u64 - 1)
    }

    async fn done(&self, _: &StageName, intent: u64, after: Value) -> Result<(), StageError> {
        self.entries.lock().expect("journal")[intent as usize].after = Some(after);
        Ok(())
    }
}
