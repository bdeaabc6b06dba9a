//! What an object store says when it refuses, in its own words.

use object_store::Error;
use pipeline_sdk::with_causes;

/// Why a request failed. Of an answer of S3, which is XML
/// (docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html), only what people read.
pub(crate) fn reason(error: &Error) -> String {
    let text = with_causes(error);
    match (element(&text, "Code"), element(&text, "Message")) {
        (Some(code), Some(message)) => format!("{message} ({code})"),
        _ => text,
    }
}

/// Whether the bucket is not there, which a read of an object does not tell from an object that is not there.
pub(super) fn is_without_bucket(error: &Error) -> bool {
    element(&with_causes(error), "Code") == Some("NoSuchBucket")
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> Error {
        Error::NotFound { path: "team/lock.json".to_owned(), source: text.into() }
    }

    #[test]
    fn what_the_store_said_is_told_without_its_xml() {
        let error = answered(
            "Error performing GET http://s3/b/team/lock.json - Server returned non-2xx status code: 404 Not Found: \
             <?xml version=\"1.0\"?>\n<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not \
             exist</Message><BucketName>b</BucketName></Error>",
        );
        assert_eq!(reason(&error), "The specified bucket does not exist (NoSuchBucket)");
        assert!(is_without_bucket(&error));
        let key = answered("<Error><Code>NoSuchKey</Code><Message>It does not exist.</Message></Error>");
        assert!(!is_without_bucket(&key));
        let plain = answered("connection refused");
        assert!(reason(&plain).contains("connection refused") && !is_without_bucket(&plain));
    }
}
