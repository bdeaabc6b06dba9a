//! Calls the API of a cloud in memory, for tests.

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::services::{self, Call, Settings};
use crate::wire::{self, ApiError, Input, Service};
use crate::world::{Partition, State, World};

/// A cloud without controllers.
pub(crate) struct Caller {
    pub(crate) world: World,
    pub(crate) settings: Settings,
}

pub(crate) fn place() -> Partition {
    Partition { account: "123456789012".into(), region: "eu-central-1".into() }
}

impl Caller {
    pub(crate) fn new(inert: bool, speed: f64) -> Self {
        let settings = Settings {
            endpoint: ([127, 0, 0, 1], 4580).into(),
            inert,
            clock: Clock::new(speed),
            uploads: pipeline_data_plane::registry::Uploads::default(),
        };
        Self { world: World::in_memory(), settings }
    }

    /// Calls an operation of ECS.
    pub(crate) fn call(&self, operation: &str, parameters: Value) -> Result<Value, ApiError> {
        self.call_of(Service::Ecs, operation, parameters)
    }

    /// Calls an operation of a service that speaks JSON.
    pub(crate) fn call_of(
        &self,
        service: Service,
        operation: &str,
        parameters: Value,
    ) -> Result<Value, ApiError> {
        let answer = self.raw(service, operation, parameters)?;
        Ok(serde_json::from_slice(&answer).expect("JSON"))
    }

    /// Calls an operation of any service; the answer as it goes over the wire.
    pub(crate) fn raw(
        &self,
        service: Service,
        operation: &str,
        parameters: Value,
    ) -> Result<Vec<u8>, ApiError> {
        let input = Input::from_value(service, parameters);
        let output = self.world.write_if(|state: &mut State| {
            let mut call = Call {
                place: place(),
                access_key: None,
                now: self.settings.clock.now(),
                settings: &self.settings,
                state,
            };
            let result = services::call(&mut call, service, operation, &input);
            let changed = result.is_ok() && !services::only_reads(operation);
            (result, changed)
        })?;
        Ok(wire::encode(service, operation, "r-1", Ok(output)).body)
    }

    /// The answer of a call that must succeed.
    pub(crate) fn ok(&self, operation: &str, parameters: Value) -> Value {
        match self.call(operation, parameters) {
            Ok(answer) => answer,
            Err(error) => panic!("{operation}: {}: {}", error.code, error.message),
        }
    }

    /// Code and message of a call that must fail.
    pub(crate) fn err(&self, operation: &str, parameters: Value) -> (String, String) {
        match self.call(operation, parameters) {
            Ok(answer) => panic!("{operation} succeeded: {answer}"),
            Err(error) => (error.code, error.message),
        }
    }

    /// A subnet of the default VPC.
    pub(crate) fn subnet(&self) -> String {
        self.world.write(|state| {
            let place = place();
            let region = state.region_mut(&place.account, &place.region);
            let ec2 = serde_json::to_value(&region.ec2).expect("JSON");
            let subnets = ec2["subnets"].as_object().expect("subnets");
            subnets.keys().next().expect("a subnet").clone()
        })
    }

    /// Cluster `main` and Fargate definition `app`.
    pub(crate) fn furnish(&self) {
        self.ok("CreateCluster", json!({ "clusterName": "main" }));
        self.ok("RegisterTaskDefinition", fargate_definition("app"));
    }

    /// What CreateService takes for a Fargate service of `app`.
    pub(crate) fn service(&self, name: &str, desired: u32) -> Value {
        json!({
            "cluster": "main", "serviceName": name, "taskDefinition": "app", "desiredCount": desired,
            "launchType": "FARGATE",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": [self.subnet()] } }
        })
    }
}

/// A definition that Fargate takes.
pub(crate) fn fargate_definition(family: &str) -> Value {
    json!({
        "family": family, "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [{
            "name": "web", "image": "hello:1", "portMappings": [{ "containerPort": 8080 }]
        }]
    })
}
