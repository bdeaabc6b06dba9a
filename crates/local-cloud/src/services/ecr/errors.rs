//! ECR's errors, with the texts clients know.

use crate::wire::ApiError;

pub(super) fn no_repository(account: &str, name: &str) -> ApiError {
    let text =
        format!("The repository with name '{name}' does not exist in the registry with id '{account}'");
    ApiError::sender("RepositoryNotFoundException", text)
}

pub(super) fn invalid(parameter: &str, constraint: &str) -> ApiError {
    let text = format!("Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'");
    ApiError::sender("InvalidParameterException", text)
}

/// `what` is as in [`super::input::ImageId::describe`].
pub(super) fn no_image(account: &str, repository: &str, what: &str) -> ApiError {
    let text = format!(
        "The image with imageId {what} does not exist within the repository with name '{repository}' in the \
         registry with id '{account}'"
    );
    ApiError::sender("ImageNotFoundException", text)
}
