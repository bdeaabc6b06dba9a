//! Amazon Resource Names.

use std::fmt;

/// `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`, read.
///
/// Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arn<'a> {
    /// The service, such as `ecs`.
    pub(crate) service: &'a str,
    /// The region; empty for global services.
    pub(crate) region: &'a str,
    /// The account.
    pub(crate) account: &'a str,
    /// The rest: `cluster/hello`.
    pub(crate) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Reads `text`; nothing if it is not an ARN.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut fields = text.splitn(6, ':');
        if fields.next() != Some("arn") {
            return None;
        }
        let _partition = fields.next()?;
        Some(Self {
            service: fields.next()?,
            region: fields.next()?,
            account: fields.next()?,
            resource: fields.next()?,
        })
    }
}

impl fmt::Display for Arn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:{}:{}:{}:{}", self.service, self.region, self.account, self.resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_read_and_written() {
        let text = "arn:aws:ecs:eu-central-1:123456789012:service/a/b:1";
        let arn = Arn::parse(text).expect("an ARN");
        assert_eq!((arn.service, arn.resource), ("ecs", "service/a/b:1"));
        assert_eq!(arn.to_string(), text);
        assert_eq!(Arn::parse("hello"), None);
    }
}
