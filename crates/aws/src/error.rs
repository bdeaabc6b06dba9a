//! The one place where an SDK error becomes a stage's error.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;
use pipeline_sdk::StageError;

/// How a call to AWS failed. The source of every [`StageError`] that comes out of [`AwsResult`].
#[derive(Clone, Debug)]
pub struct AwsError {
    /// Service and operation as IAM writes them: `ecs:DescribeServices`.
    pub operation: String,
    /// AWS's error code; none when no answer came.
    pub code: Option<String>,
    /// AWS's message, or why no answer came.
    pub message: String,
    /// The request's id, for AWS support.
    pub request_id: Option<String>,
    /// Whether the request never got an answer, so that nobody knows if it was carried out.
    pub unanswered: bool,
}

impl AwsError {
    fn of_sdk<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let service = error.as_service_error();
        let code = service.and_then(ProvideErrorMetadata::code);
        let message = service.and_then(ProvideErrorMetadata::message).map(str::to_owned);
        let unanswered = !matches!(error, SdkError::ServiceError(_) | SdkError::ConstructionFailure(_));
        Self {
            operation: operation.to_owned(),
            code: code.map(str::to_owned),
            message: message.unwrap_or_else(|| causes(error)),
            request_id: error.request_id().map(str::to_owned),
            unanswered,
        }
    }

    /// The AWS error behind a stage's error, if there is one.
    pub fn behind(error: &StageError) -> Option<&Self> {
        match error {
            StageError::Failed { source, .. } => source.as_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// Whether the code is one of `codes`.
    pub fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// Whether AWS says that the thing does not exist.
    ///
    /// Every service has its own codes; they share their words: `RepositoryNotFoundException`,
    /// `NoSuchEntity`, `InvalidGroup.NotFound`, `ApplicationDoesNotExistException`.
    pub fn says_missing(&self) -> bool {
        self.has_word(&["NotFound", "NoSuch", "DoesNotExist"])
    }

    /// Whether AWS says that the thing exists already: `EntityAlreadyExists`,
    /// `InvalidPermission.Duplicate`, `DuplicateListener`.
    pub fn says_exists(&self) -> bool {
        self.has_word(&["AlreadyExists", "Duplicate", "AlreadyExist"])
    }

    /// Whether the same call may well work a moment later: it was throttled, AWS is in trouble, or no answer came
    /// that could be read.
    pub fn is_temporary(&self) -> bool {
        const WORDS: &[&str] = &[
            "Throttl",
            "RateExceeded",
            "RequestLimitExceeded",
            "ServerException",
            "Internal",
            "Unavailable",
        ];
        self.code.is_none() || self.has_word(WORDS)
    }

    fn has_word(&self, words: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| words.iter().any(|word| code.contains(word)))
    }

    fn help(&self) -> Option<String> {
        let code = self.code.as_deref().unwrap_or_default();
        let help = match code {
            "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
                format!("allow `{}` for the identity that runs the pipeline", self.operation)
            }
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
                "the credentials have expired: run `aws sso login`, or renew them and run again".into()
            }
            "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => {
                "AWS does not know these credentials: check AWS_PROFILE, or the access key and its secret"
                    .into()
            }
            code if code.contains("Throttl") || code.contains("RateExceeded") => {
                "AWS still throttled after many retries: run again later, or lower `--parallelism`".into()
            }
            _ if self.message.contains("no providers in chain provided credentials") => NO_CREDENTIALS.into(),
            "" if self.unanswered => "check the network and the endpoint, then run again: \
                                      what was already done is found again"
                .into(),
            _ => return None,
        };
        Some(help)
    }
}

/// An error with all that caused it, each said once.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// What to do where no credentials were found.
pub(crate) const NO_CREDENTIALS: &str = "run `aws sso login` or set AWS_PROFILE";

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.operation)?;
        if let Some(code) = &self.code {
            write!(f, "{code}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl Error for AwsError {}

impl From<AwsError> for StageError {
    fn from(error: AwsError) -> Self {
        StageError::Failed { message: error.to_string(), help: error.help(), source: Some(Box::new(error)) }
    }
}

/// Reads the result of an SDK call as a stage does.
///
/// `operation` is the call's name as IAM writes it, such as `ecr:DescribeRepositories`.
pub trait AwsResult<T> {
    /// The answer, or the error with everything known about it.
    fn or_fail(self, operation: &str) -> Result<T, StageError>;

    /// The answer, or nothing where AWS says that the thing does not exist.
    fn if_found(self, operation: &str) -> Result<Option<T>, StageError>;

    /// Success also where the thing was gone already: for deletions.
    fn or_gone(self, operation: &str) -> Result<(), StageError>;
}

impl<T, E> AwsResult<T> for Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    fn or_fail(self, operation: &str) -> Result<T, StageError> {
        self.map_err(|error| AwsError::of_sdk(operation, &error).into())
    }

    fn if_found(self, operation: &str) -> Result<Option<T>, StageError> {
        match self {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => match AwsError::of_sdk(operation, &error) {
                error if error.says_missing() => Ok(None),
                error => Err(error.into()),
            },
        }
    }

    fn or_gone(self, operation: &str) -> Result<(), StageError> {
        self.if_found(operation).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str) -> AwsError {
        AwsError {
            operation: "ecr:CreateRepository".into(),
            code: Some(code.into()),
            message: "no".into(),
            request_id: Some("r-1".into()),
            unanswered: false,
        }
    }

    #[test]
    fn what_caused_a_failure_is_said_once_and_without_debug_output() {
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let failure = SdkError::<std::io::Error, HttpResponse>::timeout_error(refused);
        assert_eq!(causes(&failure), "request has timed out: connection refused");
    }

    #[test]
    fn codes_are_read_by_their_words() {
        for code in
            ["RepositoryNotFoundException", "NoSuchEntity", "InvalidGroup.NotFound", "NoSuchHostedZone"]
        {
            assert!(error(code).says_missing(), "{code}");
        }
        for code in ["EntityAlreadyExists", "DuplicateTargetGroupName", "InvalidPermission.Duplicate"] {
            assert!(error(code).says_exists(), "{code}");
        }
        assert!(!error("ValidationError").says_missing());
    }

    #[test]
    fn a_refusal_names_what_to_allow() {
        let stage_error = StageError::from(error("AccessDeniedException"));
        assert_eq!(stage_error.to_string(), "ecr:CreateRepository: AccessDeniedException: no (request r-1)");
        assert_eq!(
            stage_error.help(),
            Some("allow `ecr:CreateRepository` for the identity that runs the pipeline")
        );
        assert!(AwsError::behind(&stage_error).is_some_and(|e| e.is(&["AccessDeniedException"])));
    }
}
