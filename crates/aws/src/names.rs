//! Names within AWS's limits: checked while planning, so that a name that is too long stops the run
//! before anything is changed.

use pipeline_sdk::StageError;

/// What AWS allows in the name of one kind of thing.
#[derive(Clone, Copy, Debug)]
pub struct NameRule {
    /// What is named, as in "a target group".
    pub what: &'static str,
    /// The longest name.
    pub longest: usize,
    /// The characters beside letters and digits.
    pub others: &'static str,
    /// Whether capital letters are allowed.
    pub capitals: bool,
    /// What the name must not begin with.
    pub not_at_start: &'static [&'static str],
    /// What the name must not end with.
    pub not_at_end: &'static [&'static str],
}

const ANY: NameRule = NameRule {
    what: "a resource",
    longest: 255,
    others: "-_",
    capitals: true,
    not_at_start: &[],
    not_at_end: &[],
};

/// ELB `CreateLoadBalancer`, parameter Name.
pub const LOAD_BALANCER: NameRule = NameRule {
    what: "a load balancer",
    longest: 32,
    others: "-",
    not_at_start: &["-", "internal-"],
    not_at_end: &["-"],
    ..ANY
};

/// ELB `CreateTargetGroup`, parameter Name.
pub const TARGET_GROUP: NameRule = NameRule { what: "a target group", not_at_start: &["-"], ..LOAD_BALANCER };

/// ECR `CreateRepository`, parameter repositoryName.
pub const REPOSITORY: NameRule = NameRule {
    what: "a repository",
    longest: 256,
    others: "-_./",
    capitals: false,
    not_at_start: &["-", "_", ".", "/"],
    not_at_end: &["-", "_", ".", "/"],
};

/// EC2 `CreateSecurityGroup`, parameter GroupName.
pub const SECURITY_GROUP: NameRule =
    NameRule { what: "a security group", others: " ._-:/()#,@[]+=&;{}!$*", not_at_start: &["sg-"], ..ANY };

/// ECS `CreateCluster`, parameter clusterName.
pub const CLUSTER: NameRule = NameRule { what: "a cluster", ..ANY };

/// ECS `CreateService`, parameter serviceName.
pub const SERVICE: NameRule = NameRule { what: "a service", ..ANY };

/// ECS `RegisterTaskDefinition`, parameter family.
pub const TASK_FAMILY: NameRule = NameRule { what: "a task definition family", ..ANY };

/// ECS `RegisterTaskDefinition`, the name in a container definition.
pub const CONTAINER: NameRule = NameRule { what: "a container", ..ANY };

/// IAM `CreateRole`, parameter RoleName.
pub const ROLE: NameRule = NameRule { what: "a role", longest: 64, others: "_+=,.@-", ..ANY };

/// CloudWatch Logs `CreateLogGroup`, parameter logGroupName.
pub const LOG_GROUP: NameRule = NameRule { what: "a log group", longest: 512, others: "_-/.#", ..ANY };

/// CodeDeploy `CreateApplication` and `CreateDeploymentGroup`.
pub const CODEDEPLOY: NameRule =
    NameRule { what: "a CodeDeploy application or group", longest: 100, others: "._+=,@-", ..ANY };

impl NameRule {
    /// Checks `name`, which the user can change by `input`.
    ///
    /// # Errors
    /// [`StageError::Input`] with the limit and the input that shortens the name.
    pub fn check(&self, input: &str, name: &str) -> Result<(), StageError> {
        let length = name.chars().count();
        if length == 0 {
            return Err(StageError::input(input, format!("{} needs a name", self.what)));
        }
        if length > self.longest {
            return Err(StageError::input(input, self.too_long(input, name, length)));
        }
        match self.flaw(name) {
            Some(flaw) => Err(StageError::input(
                input,
                format!("{} cannot be called `{name}`: {flaw}. Set `{input}` on this stage", self.what),
            )),
            None => Ok(()),
        }
    }

    fn too_long(&self, input: &str, name: &str, length: usize) -> String {
        format!(
            "{} would be called `{name}`, which has {length} characters; AWS allows {}. \
             Set a shorter `{input}` on this stage",
            self.what, self.longest
        )
    }

    fn flaw(&self, name: &str) -> Option<String> {
        let legal = |c: &char| {
            c.is_ascii_digit()
                || c.is_ascii_lowercase()
                || (self.capitals && c.is_ascii_uppercase())
                || self.others.contains(*c)
        };
        if let Some(bad) = name.chars().find(|c| !legal(c)) {
            return Some(format!("`{bad}` is not allowed in it"));
        }
        if let Some(start) = self.not_at_start.iter().find(|start| name.starts_with(**start)) {
            return Some(format!("it must not begin with `{start}`"));
        }
        let end = self.not_at_end.iter().find(|end| name.ends_with(**end))?;
        Some(format!("it must not end with `{end}`"))
    }
}

/// The name of a stage's resource: what the user gave as `name`, else the pipeline's canonical name,
/// followed by `suffix`; checked against `rule`.
///
/// # Errors
/// [`StageError::Input`] on `name`, saying how long it may be.
pub fn fit(given: Option<&str>, canonical: &str, suffix: &str, rule: NameRule) -> Result<String, StageError> {
    let base = given.unwrap_or(canonical);
    let name = format!("{base}{suffix}");
    let length = name.chars().count();
    if length > rule.longest && !suffix.is_empty() {
        let room = rule.longest.saturating_sub(suffix.chars().count());
        let text = rule.too_long("name", &name, length);
        return Err(StageError::input("name", format!("{text}: at most {room} characters")));
    }
    rule.check("name", &name)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_fits_is_the_canonical_name_and_its_suffix() {
        let name = fit(None, "hello-staging", "-blue", TARGET_GROUP).expect("fits");
        assert_eq!(name, "hello-staging-blue");
        assert_eq!(fit(Some("web"), "hello-staging", "", LOAD_BALANCER).expect("fits"), "web");
    }

    #[test]
    fn a_name_that_is_too_long_says_the_limit_and_the_input() {
        let error = fit(None, "a-very-long-application-staging", "-green", TARGET_GROUP);
        assert_eq!(
            error.expect_err("too long").to_string(),
            "`name`: a target group would be called `a-very-long-application-staging-green`, which has 37 \
             characters; AWS allows 32. Set a shorter `name` on this stage: at most 26 characters"
        );
    }

    #[test]
    fn every_rule_of_aws_is_checked() {
        for bad in ["-web", "web-", "internal-web", "my_web", "", "wéb"] {
            assert!(LOAD_BALANCER.check("name", bad).is_err(), "{bad}");
        }
        assert!(TARGET_GROUP.check("name", "internal-web").is_ok());
        assert!(REPOSITORY.check("name", "team/Hello").is_err());
        assert!(REPOSITORY.check("name", "team/hello.web_1").is_ok());
        assert!(SECURITY_GROUP.check("name", "sg-web").is_err());
    }
}
