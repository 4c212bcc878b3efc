//! What a Chat Completions backend cannot serve is refused by name before anything is called, never dropped.

use super::{CreateRequest, failure, item::Kind};
use crate::error::ApiError;

pub(super) fn check(request: &CreateRequest) -> Result<(), ApiError> {
    if let Some((param, what)) = request.unservable() {
        return Err(failure::unsupported(param, what));
    }
    let functions = request.tools.iter().enumerate().map(|(i, tool)| tool.check(i)).collect::<Result<Vec<_>, _>>()?;
    if let Some(choice) = &request.choice {
        choice.check(&functions)?;
    }
    for (i, item) in request.input.iter().enumerate() {
        if let Kind::Other(kind) = &item.kind {
            let what = format!("An item of type `{}`", failure::excerpt(kind));
            return Err(failure::unsupported(&format!("input[{i}].type"), &what));
        }
    }
    if request.input.len() > usize::from(super::minted::OUTPUT) - 1 {
        return Err(ApiError::invalid("Invalid 'input': too many items.")
            .param("input")
            .code("array_above_max_length"));
    }
    Ok(())
}
