//! Policies that AWS manages: every account has them.

use serde_json::{Value, json};

use super::IamState;
use super::policies::Usage;
use super::roles::encoded;

/// What stands before the name of a policy of AWS.
const PREFIX: &str = "arn:aws:iam::aws:policy/";

/// Whether `arn` names a policy of AWS. AWS has more than a thousand and adds to them; whoever attaches
/// one by a well-formed name means one that exists.
pub(super) fn exists(arn: &str) -> bool {
    let name = arn.strip_prefix(PREFIX).and_then(|path| path.rsplit('/').next());
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    })
}

/// The only version that a policy of AWS has here.
const VERSION: &str = "v1";

/// When policies of AWS were made, so that they are older than everything.
const MADE: &str = "2015-02-06T18:40:00.000Z";

/// What stands in for the document of a policy of AWS. Nothing is ever denied, so it allows everything.
const DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// A policy of AWS as GetPolicy describes it.
pub(super) fn described(iam: &IamState, arn: &str) -> Value {
    let path_and_name = arn.strip_prefix(PREFIX).unwrap_or(arn);
    let (path, name) = path_and_name.rsplit_once('/').unwrap_or(("", path_and_name));
    json!({
        "PolicyName": name,
        "PolicyId": "ANPAAWSMANAGED0000000",
        "Arn": arn,
        "Path": if path.is_empty() { "/".to_owned() } else { format!("/{path}/") },
        "DefaultVersionId": VERSION,
        "AttachmentCount": iam.users_of(arn, Usage::Permissions).count(),
        "PermissionsBoundaryUsageCount": iam.users_of(arn, Usage::Boundary).count(),
        "IsAttachable": true,
        "CreateDate": MADE,
        "UpdateDate": MADE,
    })
}

/// A version of a policy of AWS, with its document if the answer is about it alone.
pub(super) fn version(id: &str, whole: bool) -> Option<Value> {
    (id == VERSION).then(|| {
        json!({
            "VersionId": VERSION,
            "IsDefaultVersion": true,
            "CreateDate": MADE,
            "Document": whole.then(|| encoded(DOCUMENT)),
        })
    })
}

/// The versions of a policy of AWS.
pub(super) fn versions() -> Vec<Value> {
    version(VERSION, false).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_of_aws_are_known_by_their_names() {
        assert!(exists("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"));
        assert!(exists("arn:aws:iam::aws:policy/AWSCodeDeployRoleForECS"));
        assert!(!exists("arn:aws:iam::123456789012:policy/mine"));
        assert!(!exists("arn:aws:iam::aws:policy/"));
    }
}
